"""The second passes of others that scaled positions are measured against, in the same velocity."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pipelines.sampling import features, guided_velocity, noise
from ...samplers.solvers import Velocity
from ..shared.sections import Bench

SKIP, DILATED, FILTER = 3.0, 1.0, 1.0  # DemoFusion's exponents of its three cosines
WIDE, NARROW = 0.8, 0.01  # and the filter's widths in pixels, from first to last


def by_windows(bench: Bench, large: Tensor, prompts: list[str], begin: float, steps: int) -> Tensor:
    """Return pictures drawn over in overlapping windows of the training size, half of one apart.

    Their velocities are averaged: MultiDiffusion (Bar-Tal et al. 2023, arXiv 2302.08113).
    """
    sampling = replace(bench.sampling, steps=steps)
    velocity = averaged(network_velocity(bench, prompts, steps), bench.base)
    x = noised(large, begin).to(bench.device)
    return sampling.follow(velocity, x, begin).float().cpu()


def by_fusion(bench: Bench, large: Tensor, prompts: list[str], begin: float, steps: int, seed: int = 0) -> Tensor:
    """Return pictures drawn over by DemoFusion (Du et al. 2023, arXiv 2311.16973), by Euler steps.

    Before every step the noised enlarged picture is mixed in again (skip residual); windows, shifted by chance, are
    averaged, and mixed with the velocities of the pictures of every other pixel, low-pass filtered (dilated sampling).
    """
    velocity, chance = network_velocity(bench, prompts, steps), torch.Generator().manual_seed(seed)
    large = large.to(bench.device)
    x, times = noised(large, begin), replace(bench.sampling, steps=steps).times(begin)
    for t, after in pairwise(times):
        skip, wide, filtered = (cosine(t.item(), power) for power in (SKIP, DILATED, FILTER))
        x = skip * noised(large, t.item()) + (1 - skip) * x
        shift = int(torch.randint(bench.base // 2, (), generator=chance))
        near = averaged(velocity, bench.base, shift)(x, t)
        smooth = like(blur(x, NARROW + filtered * (WIDE - NARROW)), x)
        far = dilated(velocity, x.shape[-1] // bench.base)(smooth, t)
        x = x + (after - t) * ((1 - wide) * near + wide * far)
    return x.float().cpu()


def noised(pictures: Tensor, t: float) -> Tensor:
    """Return pictures and their noise of seeds 0, 1, …, mixed as the flow would at t."""
    return t * pictures + (1 - t) * noise(range(len(pictures)), *pictures.shape[-2:]).to(pictures)


def network_velocity(bench: Bench, prompts: list[str], steps: int) -> Velocity:
    """Return the guided velocity of one picture per prompt."""
    sampling = replace(bench.sampling, steps=steps)
    text, mask = features(bench.encoder, prompts, [""] * len(prompts), sampling)
    return guided_velocity(bench.model, text.to(bench.model.x_embedder.weight), mask, sampling)


def cosine(t: float, power: float) -> float:
    """Return a weight that falls from 1 at t = 0, noise, to 0 at 1."""
    return ((1 + math.cos(math.pi * t)) / 2) ** power


def averaged(velocity: Velocity, window: int, shift: int = 0) -> Velocity:
    """Return the mean of a velocity's values on all windows that cover a pixel; windows are half of one apart."""

    def mean_velocity(x: Tensor, t: Tensor) -> Tensor:
        total, count = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for top, left in product(*(begins(side, window, shift) for side in x.shape[-2:])):
            at = (..., slice(top, top + window), slice(left, left + window))
            total[at] += velocity(x[at].contiguous(), t)
            count[at] += 1
        return total / count

    return mean_velocity


def begins(side: int, window: int, shift: int = 0) -> list[int]:
    """Return where windows begin that cover a side, half of one apart; all but the outer ones moved back by `shift`."""
    last = side - window
    inner = range(0, last + window // 2 + 1, window // 2)
    return sorted({min(max(place - shift, 0), last) for place in inner})


def dilated(velocity: Velocity, stride: int) -> Velocity:
    """Return a velocity's values on the stride² pictures of every stride-th pixel, each put back where it is from."""

    def spread(x: Tensor, t: Tensor) -> Tensor:
        whole = torch.empty_like(x)
        for at in offsets(stride):
            whole[at] = velocity(x[at].contiguous(), t)
        return whole

    return spread


def offsets(stride: int) -> Iterator[tuple]:
    """Return the index of each of the stride² pictures of every stride-th pixel."""
    for down, across in product(range(stride), repeat=2):
        yield ..., slice(down, None, stride), slice(across, None, stride)


def like(x: Tensor, other: Tensor) -> Tensor:
    """Return pictures x with the mean and spread of the others: a filter takes most from noise."""
    every = (1, 2, 3)
    spread = other.std(every, keepdim=True) / x.std(every, keepdim=True)
    return (x - x.mean(every, keepdim=True)) * spread + other.mean(every, keepdim=True)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Return pictures filtered by a Gaussian of `sigma` pixels."""
    reach = max(1, math.ceil(3 * sigma))
    line = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * sigma**2))
    kernel = (line / line.sum()).expand(x.shape[1], 1, -1)
    kernel, padded = kernel.to(x), F.pad(x, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel[:, :, None, :], groups=x.shape[1])
    return F.conv2d(across, kernel[:, :, :, None], groups=x.shape[1])
