"""From a prompt to pixels: the models, and what is done with them."""

import argparse
from functools import partial
from typing import TYPE_CHECKING

from .latents import UndecodedError
from .options import named_values
from .processes import shared

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    import torch
    from torch import Tensor

    from ..nextdit import ContextDrop, NextDiT, RopeScaling
    from ..nextdit.encoders.image_vae import VAEDecoder
    from ..nextdit.text import TextEncoder

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class Studio:
    """The models of `options`, and pictures of them; loaded when they are first needed.

    With `keep` they stay, for many pictures; else only one of text encoder, network and VAE is in memory at a time.
    """

    def __init__(self, options: argparse.Namespace, device: "torch.device", keep: bool = True):
        self.options, self.device, self.keep = options, device, keep
        self.loaded: dict[str, object] = {}

    def take(self, name: str, load):
        """Return a model, loaded by `load` unless it is there."""
        model = self.loaded[name] if name in self.loaded else load()
        if self.keep:
            self.loaded[name] = model
        return model

    def encoder(self) -> "TextEncoder":
        from ..nextdit.text import load_text_encoder

        return self.take("text", lambda: load_text_encoder(self.options.text_encoder, device=self.device))

    def network(self) -> "NextDiT":
        """Return the network. Raises ValueError if it is of another kind."""
        import torch

        from ..nextdit import load_model

        def load() -> "NextDiT":
            dtype = getattr(torch, DTYPES[self.options.dtype]) if self.options.dtype else None
            return load_model(self.options.model, dtype=dtype, device=self.device, family="image")

        return self.take("network", load)

    def decoder(self) -> "VAEDecoder":
        from ..nextdit.encoders.image_vae import load_vae_decoder

        return self.take("vae", lambda: load_vae_decoder(self.options.vae, device=str(self.device)))

    def decode(self, latents: "Tensor") -> "Tensor":
        """Return the pixels of latents (B, C, h, w) in VAE space, large pictures in tiles.

        Raises UndecodedError, with the latents, when memory is too short for the smallest tiles or for the VAE.
        """
        from ..nextdit.encoders.vae_tiles import TILES, decode, ran_out_of_memory

        try:
            return decode(self.decoder(), latents)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
        reason = f"{self.device} has too little memory to decode the picture, even in tiles of {8 * TILES[-1]} pixels"
        raise UndecodedError(reason, latents.cpu())

    def paint(self, job: argparse.Namespace, reporting: bool = True) -> "Tensor":
        """Do `paint_whole`; ValueError in words where memory runs out before there is anything to keep."""
        from ..nextdit.encoders.vae_tiles import ran_out_of_memory

        try:
            return self.paint_whole(job, reporting)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            raise ValueError(too_little_memory(self.device, job)) from error

    def paint_whole(self, job: argparse.Namespace, reporting: bool) -> "Tensor":
        """Return the pixels (B, 3, H, W) of a job's seeds, in about [-1, 1]; `reporting` shows the progress.

        The job's models, type and device are those of the studio. Raises ValueError if the result is not finite, and
        as `decode` does.
        """
        import torch
        from torch.nn.functional import interpolate

        from ..nextdit.encoders.image_vae import SCALING
        from ..nextdit.layers.tokens import needed_mask

        channels, scale = (4, 8) if self.options.vae else (3, 1)
        size = -(-job.height // scale), -(-job.width // scale)

        def noise(*size: int) -> "Tensor":  # on the CPU, so that a seed means the same picture on every device
            generators = [torch.Generator().manual_seed(seed) for seed in seeds(job)]
            return torch.stack([torch.randn(channels, *size, generator=g) for g in generators]).to(self.device)

        with torch.inference_mode():
            prompts = [job.prompt] if job.cfg == 1 else [job.prompt, job.negative]
            text, mask = self.encoder()(prompts)  # (1 or 2, L, D): with guidance, that of the negative prompt too
            mask = needed_mask(mask)
            follow, x, begin = partial(sample, self.network(), text, mask, job, reporting), noise(*size), 0.0
            if first := first_size(job, size, job.train_size // scale):
                begin = 1 - job.second_pass
                x = (1 - begin) * x + begin * interpolate(follow(noise(*first)), size, mode="bicubic")
            x = follow(x, begin)
            del follow  # and with it the network, unless it is kept
            if self.options.vae:
                x = self.decode(x / SCALING)
        if not x.isfinite().all():
            raise ValueError("the picture has NaN or infinite values; try --dtype fp32, or bf16 instead of fp16")
        return x[:, :, : job.height, : job.width]


def too_little_memory(device: "torch.device", job: argparse.Namespace) -> str:
    """Say that a job does not fit, and what the user can do."""
    pictures = "a picture" if job.batch == 1 else f"{job.batch} pictures at once"
    return (
        f"{device} has too little memory for {pictures} of {job.width}×{job.height} pixels: make them smaller"
        f"{' or fewer at once (--batch)' if job.batch > 1 else ''}, or try --dtype bf16, --cfg 1 or --device cpu"
    )


def first_size(job: argparse.Namespace, size: tuple[int, int], train_size: int) -> tuple[int, int] | None:
    """Return height and width of a job's first pass, of the area seen in training; None if there is one pass only."""
    factor = (size[0] * size[1]) ** 0.5 / train_size
    if job.second_pass is None or factor <= 1:
        return None
    return max(1, round(size[0] / factor)), max(1, round(size[1] / factor))


def seeds(job: argparse.Namespace) -> list[int]:
    """Return the seeds of a job's pictures."""
    return [job.seed + i for i in range(job.batch)]


def find_device(name: str | None) -> "torch.device":
    """Return the named device, or else the accelerator that torch sees, or the CPU. Raises ValueError."""
    import torch

    if name is None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error


def grid(options: argparse.Namespace, begin: float = 0.0) -> "Tensor":
    """Return the times of `--schedule NAME,key=value,…` and `--steps`, after a check of `--method`.

    From `begin` on it is the same curve in less time, and the steps are as many fewer.
    """
    from ..samplers import stages, times

    stages(options.method)
    name, values = named_values("--schedule", options.schedule)
    steps = max(1, round((1 - begin) * options.steps)) if begin else options.steps
    return begin + (1 - begin) * times(name, steps, **values)


def scaling(options: argparse.Namespace, tokens: tuple[int, int], train_tokens: int) -> "RopeScaling":
    """Return the scaling of `--rope NAME,key=value,…` for an image of rows and columns of tokens. Raises ValueError."""
    from ..nextdit.layers.rope_scaling import RopeScaling, scale_factor

    name, values = named_values("--rope", options.rope)
    if unknown := values.keys() - {"watershed", "return_from", "return_to"}:
        raise ValueError(f"--rope knows watershed, return_from and return_to, got {', '.join(sorted(unknown))}")
    return RopeScaling(name, scale_factor(tokens, train_tokens), train_tokens, **values)


def dropping(options: argparse.Namespace) -> "ContextDrop | None":
    """Return the context drop of `--context-drop FADE,key=value,…`, None without. Raises ValueError."""
    from ..nextdit import ContextDrop

    if options.context_drop is None:
        return None
    fade, values = named_values("--context-drop", options.context_drop)
    if unknown := values.keys() - {"window", "start", "end"}:
        raise ValueError(f"--context-drop knows window, start and end, got {', '.join(sorted(unknown))}")
    window = values.pop("window", 2.0)
    if window != int(window):
        raise ValueError(f"--context-drop wants a whole number of tokens for its window, got {window:g}")
    return ContextDrop(int(window), fade, **values)


def sample(
    model: "NextDiT",
    text: "Tensor",
    mask: "Tensor | None",
    options: argparse.Namespace,
    reporting: bool,
    x: "Tensor",
    begin: float = 0.0,
) -> "Tensor":
    """Follow the flow from x (B, C, h, w) at t = `begin` to data; both halves of the guidance run in one batch."""
    from tqdm import tqdm

    from ..samplers import guide, integrate

    times = grid(options, begin)
    patch = model.config.patch_size
    tokens = -(-x.shape[2] // patch), -(-x.shape[3] // patch)
    rope = scaling(options, tokens, round(options.train_size / (patch * (1 if x.shape[1] == 3 else 8))))
    network = partial(shared(model), rope=rope, drop=dropping(options))
    text, mask = (None if part is None else part.repeat_interleave(len(x), dim=0) for part in (text, mask))

    def velocity(x: "Tensor", t: "Tensor") -> "Tensor":
        if options.cfg == 1:
            return network(x, t.expand(len(x)).to(x.device), text, mask)
        both = network(x.repeat(2, 1, 1, 1), t.expand(2 * len(x)).to(x.device), text, mask)
        return guide(*both.chunk(2), options.cfg, options.channels)

    with tqdm(total=len(times) - 1, unit="step", disable=not reporting) as bar:
        return integrate(velocity, x, times, options.method, on_step=lambda *_: bar.update())
