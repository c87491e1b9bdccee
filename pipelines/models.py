"""The models of a picture: text encoder, network and VAE, loaded when they are first needed."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..demo import MODEL, TEXT_ENCODER
from ..nextdit import TextEncoder, load_model, load_text_encoder
from ..nextdit.checkpoint import Description, check_family, describe
from ..nextdit.encoders.image_vae import VAEDecoder, check_vae, load_vae_decoder
from ..nextdit.encoders.vae_encoder import VAEEncoder, load_vae_encoder
from ..nextdit.encoders.vae_tiles import TILES, decode, ran_out_of_memory
from ..nextdit.latents import SDXL, LatentSpace
from ..nextdit.lora.add import add_lora
from ..nextdit.parallel import forward_by_rows
from ..nextdit.train_size import native_size, train_tokens
from ..options import OptionError, file_of, option
from .clips import check_is_file
from .devices import find_device

VAE_SCALE = 8  # pixels a side of a latent pixel


class UndecodedError(ValueError):
    """A picture was sampled, and there was too little memory to decode it; `latents` (B, C, h, w) are in VAE space."""

    def __init__(self, reason: str, latents: Tensor):
        super().__init__(reason, latents)  # both, so that it comes over from another process whole
        self.reason, self.latents = reason, latents

    def __str__(self) -> str:
        return self.reason


class Models:
    """The models in files or folders, by default those of the demo; models of latents need a VAE.

    With `keep` they stay, for many pictures; else only one of text encoder, network and VAE is in memory at a time.
    `dtype` is the network's, by default its file's; `device` by default the best there is. `loras` are files and how
    strongly each is added to the network. With `by_rows` all processes of torch.distributed make every picture
    together; with `compiled` torch.compile takes a minute once to make the steps of single pictures faster. Nothing is
    loaded before it is needed.
    """

    def __init__(
        self,
        model: str | Path = MODEL,
        text_encoder: str | Path = TEXT_ENCODER,
        vae: str | Path | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        loras: Sequence[tuple[str | Path, float]] = (),
        keep: bool = True,
        by_rows: bool = False,
        compiled: bool = False,
    ):
        self.model, self.text_encoder, self.vae = Path(model), Path(text_encoder), vae if vae is None else Path(vae)
        self.dtype, self._device = dtype, device
        self.loras = tuple((Path(file), strength) for file, strength in loras)
        self.keep, self.by_rows, self.compiled = keep, by_rows, compiled
        self._loaded: dict[str, Any] = {}

    def _take(self, name: str, load: Callable[[], Any]) -> Any:
        model = self._loaded[name] if name in self._loaded else load()
        if self.keep:
            self._loaded[name] = model
        return model

    def encoder(self) -> TextEncoder:
        """Return the text encoder."""
        return self._take("text", self._load_encoder)

    def _load_encoder(self) -> TextEncoder:
        with file_of("text_encoder", self.text_encoder):
            return load_text_encoder(self.text_encoder, device=self.device)

    def network(self, family: str) -> Any:
        """Return the network. Raises ValueError if it is not of this family."""
        return self._take("network", partial(self._load_network, family))

    def _load_network(self, family: str) -> Any:
        with file_of("model", self.model):
            network = load_model(self.model, dtype=self.dtype, device=self.device, family=family)
        for file, strength in self.loras:
            with file_of("loras", file):
                notes = add_lora(network, file, strength).notes
            for note in notes:
                logging.getLogger(__name__).warning("%s: %s", file, note)
        if self.compiled:
            network.compile()
        return network

    def velocity(self) -> Callable[..., Tensor]:
        """Return the call of the network that draws pictures."""
        model = self.network("image")
        return partial(forward_by_rows, model) if self.by_rows else model

    @cached_property
    def device(self) -> torch.device:
        """Where the models compute. Raises ValueError if that cannot be used here."""
        return find_device(self._device)

    @cached_property
    def about(self) -> Description:
        """What the network's file is, by its header. Raises ValueError if it is damaged or unknown."""
        with file_of("model", self.model):
            return describe(self.model)

    @property
    def config(self) -> Any:
        """The network's architecture."""
        return self.about.config

    @property
    def latent(self) -> bool:
        """Whether the network works on a VAE's latents, else on pixels."""
        return self.config.in_channels != 3

    @property
    def space(self) -> LatentSpace:
        """What the network's latents are, if it works on some."""
        return self.about.family.latents

    @property
    def scale(self) -> int:
        """Pixels a side of what is one pixel to the network."""
        return VAE_SCALE if self.latent else 1

    def check_family(self, family: str | None) -> None:
        """Raise ValueError unless the network is of this family."""
        about = self.about
        try:
            check_family(about.family, family)
        except ValueError as error:
            raise OptionError(f"{self.model}: {error}") from error

    def check(self, family: str | None = None) -> None:
        """Raise ValueError unless the network is of this family, and what it makes can be turned into pictures."""
        self.check_family(family)
        channels, vae = self.config.in_channels, self.space.vae
        if channels not in (3, 4):
            raise ValueError(
                f"{self.model} works on {channels} channels; only 3 (pixels) and 4 (of {vae}) can be decoded"
            )
        if channels == 4 and self.vae is None:
            where = " (lumina-next download sdxl-vae)" if self.space is SDXL else ""
            raise OptionError(f"{self.model} makes latents, which need {option('vae')}: {vae}{where}")
        if channels == 3 and self.vae is not None:
            raise OptionError(f"{self.model} paints pixels and takes no {option('vae')}")
        if self.vae is not None:
            with file_of("vae", self.vae):
                check_vae(self.vae)  # before a picture is made that nothing can decode
        for file, strength in self.loras:
            with file_of("loras", file):
                check_is_file(file)
            if not math.isfinite(strength):
                raise OptionError(f"{option('loras')} {file} must have a finite strength, got {strength}")
        if self.compiled and (self.by_rows or self.about.family.name != "image"):
            raise OptionError(f"{option('compiled')} goes with single pictures, each made by one process")

    def native_side(self, asked: int | None = None, *, name: str = "train_size") -> int:
        """Return the side in pixels of the largest square that the network draws without scaling, or what is `asked`.

        Raises ValueError if it is unknown; `name` is that of the option which says it.
        """
        pixels = self.config.patch_size * self.scale
        try:
            told = train_tokens(self.about.metadata)
            native = native_size(self.about.family.native(self.config), pixels, told, asked or 0, option(name))
        except ValueError as error:
            raise OptionError(f"{self.model}: {error}") from error
        return asked or native.tokens * pixels

    def to_pixels(self, x: Tensor) -> Tensor:
        """Return the pixels of what the network made, large pictures decoded in tiles.

        Raises UndecodedError, with the latents, when memory is too short for the smallest tiles or for the VAE.
        """
        if not self.latent:
            return x
        latents = x / self.space.scaling
        try:
            return decode(self.decoder(), latents)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
        side = VAE_SCALE * TILES[-1]
        reason = f"{self.device} has too little memory to decode the picture, even in tiles of {side} pixels"
        raise UndecodedError(reason, latents.cpu())

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Return what the network works on of pixels (B, 3, H, W) in [-1, 1]: those, or the VAE's latents."""
        return (
            self.space.scaling * self.vae_encoder()(pixels).to(self.device) if self.latent else pixels.to(self.device)
        )

    def decoder(self) -> VAEDecoder:
        """Return the VAE's decoder."""
        return self._take("decoder", partial(self._load_vae, load_vae_decoder))

    def vae_encoder(self) -> VAEEncoder:
        """Return the VAE's encoder."""
        return self._take("vae_encoder", partial(self._load_vae, load_vae_encoder))

    def _load_vae(self, load: Callable[..., Any]) -> Any:
        self.check()
        assert self.vae is not None
        with file_of("vae", self.vae):
            return load(self.vae, device=str(self.device))


@contextmanager
def compiler_in_words() -> Iterator[None]:
    """Turn an error of torch.compile into one that says what the user can do."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise OptionError(
            f"torch.compile failed, on a CPU it needs a C++ compiler, on a GPU Triton; leave out {option('compiled')}, "
            f"or see why: {str(error).strip().splitlines()[0]}"
        ) from error


@contextmanager
def memory_in_words(device: torch.device, what: str, fewer: str, count: int) -> Iterator[None]:
    """Turn an error about memory into one that says what the user can do, besides making fewer of `count` at once."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise OptionError(
            f"{device} has too little memory for {what}: make them smaller"
            f"{f' or fewer at once ({option(fewer)})' if count > 1 else ''}, "
            f"or try {option('dtype')} bf16, {option('cfg')} 1 or {option('device')} cpu"
        ) from error
