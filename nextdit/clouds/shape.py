"""Clouds as tensors: where they lie, how evenly, and coarse ones made dense."""

from dataclasses import dataclass

import torch
from torch import Tensor

UPS = ("y", "z")
"""Which axis points up: z to the models, y to most viewers."""


@dataclass(frozen=True)
class Frame:
    """Where a cloud lay before it was fitted: its middle (3,), half its longest side, and which axis was up."""

    middle: Tensor
    half: float
    up: str = "z"

    def restored(self, points: Tensor) -> Tensor:
        """Return points (N, 3) of the fitted cloud where that lay, as exact as it was."""
        return upright(points, self.up).to(self.middle) * self.half + self.middle


def upright(points: Tensor, up: str) -> Tensor:
    """Return points (N, 3), whose z is up, with `up` up instead. Raises ValueError on another axis than y and z."""
    check_up(up)
    return points if up == "z" else torch.stack([points[:, 1], points[:, 2], points[:, 0]], dim=1)


def from_upright(points: Tensor, up: str) -> Tensor:
    """Undo `upright`."""
    check_up(up)
    return points if up == "z" else torch.stack([points[:, 2], points[:, 0], points[:, 1]], dim=1)


def check_up(up: str) -> None:
    if up not in UPS:
        raise ValueError(f"up must be y or z, got {up!r}")


def fit(points: Tensor, up: str = "z") -> tuple[Tensor, Frame]:
    """Return points (N, 3), float32, as the models know clouds, in a box about 0 whose longest side is 2 and z is up;
    and where they lay."""
    low, high = points.amin(0), points.amax(0)
    half = max(float((high - low).max()) / 2, 1e-12)
    frame = Frame((low + high) / 2, half, up)
    return from_upright(((points - frame.middle) / half).float(), up), frame


TOGETHER = 2**23
"""Distances computed at once: 32 MB, however many points there are."""


def blocks(a: Tensor, others: int) -> tuple[Tensor, ...]:
    """Return points (N, 3) in parts whose distances to so many others fit into memory."""
    return a.split(max(1, TOGETHER // others))


def nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance of each of a (N, 3) to the nearest of b (M, 3), and which that is, (N,) both."""
    found = [torch.cdist(rows, b).square().min(dim=1) for rows in blocks(a, len(b))]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def spacing(points: Tensor) -> Tensor:
    """Return the distance of every point (N, 3) to its nearest neighbour, (N,)."""
    found = [torch.cdist(rows, points).topk(2, largest=False).values[:, 1] for rows in blocks(points, len(points))]
    return torch.cat(found)


def unevenness(points: Tensor) -> float:
    """Return the coefficient of variation of the spacing of points (N, 3): 0.52 for random ones on a plane.

    Even grids have 0, clusters and holes more than random points.
    """
    distances = spacing(points)
    return float(distances.std() / distances.mean().clamp(min=1e-12))


def spread(points: Tensor, count: int) -> Tensor:
    """Return the numbers (count,) of points (N, 3) that lie as far apart as can be: farthest point sampling.

    Raises ValueError if there are fewer points than `count`.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"cannot thin {len(points)} points out to {count}: ask for 1 to {len(points)}")
    chosen = torch.zeros(count, dtype=torch.long)
    points = points.float().cpu()
    distance = torch.full((len(points),), torch.inf)
    for n in range(1, count):
        torch.minimum(distance, (points - points[chosen[n - 1]]).square().sum(1), out=distance)
        chosen[n] = distance.argmax()
    return chosen


def densified(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` points (count, 3): those given (N, 3), and others between each and one of its near neighbours.

    What needs no model: the baseline that upsampling has to beat.
    """
    if count <= len(points):
        return points[:count]
    if len(points) == 1:
        return points.repeat(count, 1)
    near = torch.cat(
        [
            torch.cdist(rows, points).topk(min(4, len(points)), largest=False).indices
            for rows in blocks(points, len(points))
        ]
    )
    new = count - len(points)
    start = torch.randint(len(points), (new,), generator=generator)
    pick = torch.randint(1, near.shape[1], (new,), generator=generator)
    part = torch.rand(new, 1, generator=generator)
    return torch.cat([points, torch.lerp(points[start], points[near[start, pick]], part)])
