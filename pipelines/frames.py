"""Frames of sound, mel spectra or latents, from prompts: the flow of an audio network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nextdit import RopeScaling
from ..nextdit.models.audio import AudioDiT
from ..samplers.solvers import OnStep
from .sampling import Encoder, Sampling, features


@dataclass(frozen=True)
class Given:
    """Frames (1, C, T) to begin from, as an encoder makes them: `denoise` of what is in `stretch` (T,) may change."""

    frames: Tensor
    denoise: float = 1.0
    stretch: Tensor | None = None


def frame_noise(seeds: Sequence[int], channels: int, frames: int) -> Tensor:
    """Return noise (B, C, T) in which row i depends on seeds[i] and the length only, the same on every device."""
    return torch.stack([torch.randn(channels, frames, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.inference_mode()
def sample_frames(
    model: AudioDiT,
    encoder: Encoder,
    prompts: Sequence[str],
    seeds: Sequence[int],
    frames: int,
    sampling: Sampling,
    *,
    negatives: Sequence[str] | None = None,
    given: Given | None = None,
    rope: RopeScaling | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return frames (B, C, T) of B prompts as their decoder takes them, each from the noise of its seed.

    Of `given` frames what is not to change comes back as it was.
    """
    weight, config = model.proj_in.weight, model.config
    text, mask = features(encoder, prompts, negatives or [""] * len(prompts), sampling)
    text, mask = text.to(weight), mask if mask is None else mask.to(weight.device)
    x = noise = frame_noise(seeds, config.in_channels, frames).to(weight.device)
    known = None if given is None else seen(model, given.frames).to(noise)
    begin = 0.0 if given is None else 1.0 - given.denoise
    if known is not None:
        x = torch.lerp(noise, known.expand_as(noise), begin)
    stays = None if given is None or given.stretch is None else ~given.stretch.bool().to(x.device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows = 2 if sampling.guided else 1
        v = model(x.repeat(rows, 1, 1), t.float().to(x.device).expand(rows * len(x)), text, mask, rope=rope)
        v = sampling.guide(*v.chunk(2)) if sampling.guided else v
        return v if stays is None else torch.where(stays, known - noise, v)  # straight to where they were

    x = sampling.follow(velocity, x, begin, on_step).float()
    x = x if stays is None else torch.where(stays, known, x)
    return x / config.scale_factor + config.latent_shift


def seen(model: AudioDiT, frames: Tensor) -> Tensor:
    """Return frames as the network sees them."""
    return (frames - model.config.latent_shift) * model.config.scale_factor
