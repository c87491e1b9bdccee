"""Frames of sound, mel spectra or latents, from prompts: the flow of an audio network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..nextdit import Call, RopeScaling
from ..nextdit.captions import Part
from ..nextdit.models.audio import AudioDiT
from ..samplers.solvers import OnStep, Velocity
from .sampling import Encoder, Sampling, features
from .timed import TimedText


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
    parts: Sequence[Sequence[Part]] | None = None,
    rope: RopeScaling | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return frames (B, C, T) of B prompts as their decoder takes them, each from the noise of its seed.

    Of `given` frames what is not to change comes back as it was. `parts` of each prompt, at the same times, are heard
    in their part of the time only.
    """
    weight, config = model.proj_in.weight, model.config
    negatives = negatives or [""] * len(prompts)
    if parts:
        velocity = timed_velocity(model, encoder, prompts, negatives, parts, frames, sampling, rope)
    else:
        velocity = plain_velocity(model, encoder, prompts, negatives, sampling, rope)
    x = frame_noise(seeds, config.in_channels, frames).to(weight.device)
    if given is None:
        x = sampling.follow(velocity, x, on_step=on_step)
    else:
        x = from_given(velocity, x, seen(model, given.frames).to(x), given, sampling, on_step)
    return x.float() / config.scale_factor + config.latent_shift


def plain_velocity(
    model: AudioDiT,
    encoder: Encoder,
    prompts: Sequence[str],
    negatives: Sequence[str],
    sampling: Sampling,
    rope: RopeScaling | None,
) -> Velocity:
    """Return the velocity under prompts that are heard all the time, both halves of the guidance in one batch."""
    text, mask = features(encoder, prompts, negatives, sampling)
    weight = model.proj_in.weight
    text, mask = text.to(weight), mask if mask is None else mask.to(weight.device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows = 2 if sampling.guided else 1
        v = model(x.repeat(rows, 1, 1), t.float().to(x.device).expand(rows * len(x)), text, mask, rope=rope)
        return sampling.guide(*v.chunk(2)) if sampling.guided else v

    return velocity


def timed_velocity(
    model: AudioDiT,
    encoder: Encoder,
    prompts: Sequence[str],
    negatives: Sequence[str],
    parts: Sequence[Sequence[Part]],
    frames: int,
    sampling: Sampling,
    rope: RopeScaling | None,
) -> Velocity:
    """Return the velocity under prompts whose parts are heard in their time; what is steered away from, all the time.

    A part that is still a sound of its own has its share of the scaling of RoPE.
    """
    weight = model.proj_in.weight
    timed = TimedText.of(encoder, prompts, parts, (frames,), weight)
    away = plain_velocity(model, encoder, negatives, negatives, replace(sampling, cfg=1.0), rope)

    def run(x: Tensor, t: Tensor, text: Tensor, mask: Tensor, call: Call, _: slice) -> Tensor:
        scaled = replace(call, rope=share_of(rope, x.shape[-1] / frames))
        return model.velocity(x.to(weight.dtype), t, text, mask, scaled).to(x.dtype)

    wanted = timed.velocity(run, model.config.patch_size)
    return (lambda x, t: sampling.guide(wanted(x, t), away(x, t))) if sampling.guided else wanted


def share_of(rope: RopeScaling | None, part: float) -> RopeScaling | None:
    """Return the scaling for a part of the frames that `rope` is for, None if they are as many as in training."""
    if rope is None or not isinstance(rope.factor, float) or rope.factor * part <= 1.0:
        return None
    return replace(rope, factor=rope.factor * part)


def from_given(
    velocity: Velocity, noise: Tensor, known: Tensor, given: Given, sampling: Sampling, on_step: OnStep | None
) -> Tensor:
    """Return where the flow carries `known` frames (1, C, T) with as much noise (B, C, T) as is given."""
    begin = 1.0 - given.denoise
    x = torch.lerp(noise, known.expand_as(noise), begin)
    if given.stretch is None:
        return sampling.follow(velocity, x, begin, on_step)
    changes = given.stretch.bool().to(x.device)

    def partly(x: Tensor, t: Tensor) -> Tensor:
        return torch.where(changes, velocity(x, t), known - noise)  # the rest goes straight to where it was

    return torch.where(changes, sampling.follow(partly, x, begin, on_step), known)


def seen(model: AudioDiT, frames: Tensor) -> Tensor:
    """Return frames as the network sees them."""
    return (frames - model.config.latent_shift) * model.config.scale_factor
