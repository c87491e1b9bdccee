"""From a prompt to pixels: the models, and what is done with them."""

import argparse
from functools import partial
from typing import TYPE_CHECKING

from .options import named_values
from .processes import shared

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    import torch
    from torch import Tensor

    from ..nextdit import ContextDrop, NextDiT, RopeScaling
    from ..nextdit.text import TextEncoder
    from ..nextdit.vae import VAEDecoder

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

        from ..nextdit import MultiViewNextDiT, load_model

        def load() -> "NextDiT":
            dtype = getattr(torch, DTYPES[self.options.dtype]) if self.options.dtype else None
            model = load_model(self.options.model, dtype=dtype, device=self.device)
            if isinstance(model, MultiViewNextDiT):
                raise ValueError(
                    f"{self.options.model} draws several views of an object, not pictures: use it in ComfyUI"
                )
            return model

        return self.take("network", load)

    def decoder(self) -> "VAEDecoder":
        from ..nextdit.vae import load_vae_decoder

        return self.take("vae", lambda: load_vae_decoder(self.options.vae, device=str(self.device)))

    def paint(self, job: argparse.Namespace, reporting: bool = True) -> "Tensor":
        """Return the pixels (B, 3, H, W) of a job's seeds, in about [-1, 1]; `reporting` shows the progress.

        The job's models, type and device are those of the studio. Raises ValueError if the result is not finite.
        """
        import torch

        from ..nextdit.vae import SCALING

        scale = 8 if self.options.vae else 1
        size = 4 if self.options.vae else 3, -(-job.height // scale), -(-job.width // scale)
        # On the CPU, so that a seed means the same picture on every device.
        noise = torch.stack([torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds(job)])
        with torch.inference_mode():
            prompts = [job.prompt] if job.cfg == 1 else [job.prompt, job.negative]
            text, mask = self.encoder()(prompts)  # (1 or 2, L, D): with guidance, that of the negative prompt too
            x = sample(self.network(), noise.to(self.device), text, mask, job, reporting)
            if self.options.vae:
                x = self.decoder()(x / SCALING)
        if not x.isfinite().all():
            raise ValueError("the picture has NaN or infinite values; try --dtype fp32, or bf16 instead of fp16")
        return x[:, :, : job.height, : job.width]


def seeds(job: argparse.Namespace) -> list[int]:
    """Return the seeds of a job's pictures."""
    return [job.seed + i for i in range(job.batch)]


def find_device(name: str | None) -> "torch.device":
    """Return the named device, or else the accelerator that torch sees, or the CPU. Raises ValueError."""
    import torch

    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error


def grid(options: argparse.Namespace) -> "Tensor":
    """Return the times of `--schedule NAME,key=value,…` and `--steps`, after a check of `--method`."""
    from ..samplers import stages, times

    stages(options.method)
    name, values = named_values("--schedule", options.schedule)
    return times(name, options.steps, **values)


def scaling(options: argparse.Namespace, tokens: tuple[int, int], train_tokens: int) -> "RopeScaling":
    """Return the scaling of `--rope NAME,key=value,…` for an image of rows and columns of tokens. Raises ValueError."""
    from ..nextdit.rope import RopeScaling, scale_factor

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
    noise: "Tensor",
    text: "Tensor",
    mask: "Tensor",
    options: argparse.Namespace,
    reporting: bool = True,
) -> "Tensor":
    """Follow the flow from noise (B, C, h, w) to data; both halves of the guidance run in one batch."""
    from tqdm import tqdm

    from ..samplers import guide, integrate

    times = grid(options)
    width = model.config.patch_size * (1 if noise.shape[1] == 3 else 8)  # of a token, in pixels
    tokens = -(-options.height // width), -(-options.width // width)
    rope = scaling(options, tokens, round(options.train_size / width))
    network = partial(shared(model), rope=rope, drop=dropping(options))
    text, mask = (part.repeat_interleave(len(noise), dim=0) for part in (text, mask))  # (B or 2B, L, …)

    def velocity(x: "Tensor", t: "Tensor") -> "Tensor":
        if options.cfg == 1:
            return network(x, t.expand(len(x)).to(x.device), text, mask)
        both = network(x.repeat(2, 1, 1, 1), t.expand(2 * len(x)).to(x.device), text, mask)
        return guide(*both.chunk(2), options.cfg, options.channels)

    with tqdm(total=options.steps, unit="step", disable=not reporting) as bar:
        return integrate(velocity, noise, times, options.method, on_step=lambda *_: bar.update())
