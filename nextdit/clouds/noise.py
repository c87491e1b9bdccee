"""Noise that clouds begin from: as coarse as in training, and in an order that suits a cloud."""

import numpy as np
import torch
from torch import Tensor

GRAIN = 0.3
"""How far points of noise stand from those of training's number by default (benchmarks/notes/points.md)."""


def grained(noise: Tensor, points: int, grain: float = GRAIN) -> Tensor:
    """Return noise (B, 3, N) whose points beyond the first `points` are drawn to those, each still a normal number.

    Which shape a cloud becomes is in the accidents of its noise, how far its middle and width are from their means. Of
    more points than in training they average out, and all clouds become the same. `grain` is the part of a point's
    place that is its own: with 1 the noise stays as it is, with 0 points stand on one another.
    """
    if noise.shape[-1] <= points or grain >= 1:
        return noise
    first, others = noise[..., :points], noise[..., points:]
    near = first[..., torch.arange(others.shape[-1], device=noise.device) % points]
    return torch.cat([first, (1 - grain**2) ** 0.5 * near + grain * others], dim=-1)


def paired(noise: Tensor, clouds: Tensor) -> Tensor:
    """Return noise (B, 3, N) in an order in which each point lies near to its own of clouds (B, 3, N)."""
    orders = [order(here.T, there.T) for here, there in zip(noise, clouds, strict=True)]
    return torch.stack([here[:, of.to(noise.device)] for here, of in zip(noise, orders, strict=True)])


def order(noise: Tensor, points: Tensor) -> Tensor:
    """Return the numbers (N,) of the points of noise (N, 3) that are to go to points (N, 3).

    Both are halved across the longest side of the points, and each half again: a few percent above the least sum of
    squared distances, in N log² N operations.
    """
    there, here = (x.detach().float().cpu().contiguous().numpy() for x in (points, noise))
    to, of, starts = np.arange(len(there)), np.arange(len(here)), np.zeros(1, int)
    while len(starts) < len(there):
        sizes = np.diff(starts, append=len(there))
        group = np.repeat(np.arange(len(starts)), sizes)
        sides = np.maximum.reduceat(there[to], starts) - np.minimum.reduceat(there[to], starts)
        axis = sides.argmax(1)[group]
        to, of = (x[np.lexsort((places[x, axis], group))] for x, places in ((to, there), (of, here)))
        starts = np.unique(np.concatenate([starts, (starts + sizes // 2)[sizes > 1]]))
    found = np.empty(len(there), int)
    found[to] = of
    return torch.from_numpy(found)
