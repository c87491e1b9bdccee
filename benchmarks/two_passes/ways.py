"""The second passes of others that scaled positions are measured against, in the same velocity."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pipelines.sampling import features, guided_velocity, noise
from ...samplers.solvers import Velocity
from ..shared.sections import Bench

SKIP, DILATED, FILTER = 3.0, 1.0, 1.0  # DemoFusion's exponents of its three cosines
ROWS = 256  # pictures of the training size in a call at most, twice that with guidance
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
    """Return the guided velocity of one picture per prompt, or of several such batches in a row."""
    sampling = replace(bench.sampling, steps=steps)

    @lru_cache(maxsize=4)
    def of_batches(count: int) -> Velocity:
        every = prompts * count
        text, mask = features(bench.encoder, every, [""] * len(every), sampling)
        return guided_velocity(bench.model, text.to(bench.model.x_embedder.weight), mask, sampling)

    return lambda x, t: of_batches(len(x) // len(prompts))(x, t)


def cosine(t: float, power: float) -> float:
    """Return a weight that falls from 1 at t = 0, noise, to 0 at 1."""
    return ((1 + math.cos(math.pi * t)) / 2) ** power


def averaged(velocity: Velocity, window: int, shift: int = 0) -> Velocity:
    """Return the mean of a velocity's values on all windows that cover a pixel; windows are half of one apart."""

    def mean_velocity(x: Tensor, t: Tensor) -> Tensor:
        total, count = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for at, found in apart(velocity, windows(x.shape, window, shift), x, t):
            total[at] += found
            count[at] += 1
        return total / count

    return mean_velocity


def apart(velocity: Velocity, parts: Iterable[tuple], x: Tensor, t: Tensor) -> Iterator[tuple[tuple, Tensor]]:
    """Return each index into x with the velocity of that part, as many at once as make ROWS pictures."""
    every, step = list(parts), max(1, ROWS // len(x))
    for some in (every[i : i + step] for i in range(0, len(every), step)):
        found = velocity(torch.cat([x[at] for at in some]), t)
        yield from zip(some, found.split(len(x)), strict=True)


def windows(shape: Sequence[int], window: int, shift: int) -> Iterator[tuple]:
    """Return the index of each window of pictures (…, H, W)."""
    for top, left in product(*(begins(side, window, shift) for side in shape[-2:])):
        yield ..., slice(top, top + window), slice(left, left + window)


def begins(side: int, window: int, shift: int = 0) -> list[int]:
    """Return where windows begin that cover a side, half of one apart; all but the outer ones moved back by `shift`."""
    last = side - window
    inner = range(0, last + window // 2 + 1, window // 2)
    return sorted({min(max(place - shift, 0), last) for place in inner})


def dilated(velocity: Velocity, stride: int) -> Velocity:
    """Return a velocity's values on the stride² pictures of every stride-th pixel, each put back where it is from."""

    def spread(x: Tensor, t: Tensor) -> Tensor:
        whole = torch.empty_like(x)
        for at, found in apart(velocity, offsets(stride), x, t):
            whole[at] = found
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
