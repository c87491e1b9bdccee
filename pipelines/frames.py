"""Frames of sound, mel spectra or latents, from prompts: the flow of an audio network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nextdit import RopeScaling
from ..nextdit.models.audio import AudioDiT
from ..nextdit.text import TextEncoder
from .sampling import Sampling, features


def frame_noise(seeds: Sequence[int], channels: int, frames: int) -> Tensor:
    """Return noise (B, C, T) in which row i depends on seeds[i] and the length only, the same on every device."""
    return torch.stack([torch.randn(channels, frames, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.inference_mode()
def sample_frames(
    model: AudioDiT,
    encoder: TextEncoder,
    prompts: Sequence[str],
    seeds: Sequence[int],
    frames: int,
    sampling: Sampling,
    *,
    rope: RopeScaling | None = None,
) -> Tensor:
    """Return frames (B, C, T) of B prompts as their decoder takes them, each from the noise of its seed."""
    weight = model.proj_in.weight
    text, mask = features(encoder, prompts, [""] * len(prompts), sampling)
    text, mask = text.to(weight), mask if mask is None else mask.to(weight.device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows = 2 if sampling.guided else 1
        v = model(x.repeat(rows, 1, 1), t.float().to(x.device).expand(rows * len(x)), text, mask, rope=rope)
        return sampling.guide(*v.chunk(2)) if sampling.guided else v

    x = sampling.follow(velocity, frame_noise(seeds, model.config.in_channels, frames).to(weight.device))
    return x.float() / model.config.scale_factor + model.config.latent_shift
