"""How like two sets of point clouds are: Chamfer distance, minimum matching distance and coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...nextdit.clouds.shape import fit

SCALE = 1000  # what distances are given in
BLOCK = 2**21, 2**28
"""Distances computed at once: on a processor what its cache holds, on a GPU what its memory does."""


def chamfer(a: Tensor, b: Tensor) -> float:
    """Return the Chamfer distance of clouds (N, 3) and (M, 3): mean squared distances to the nearest, both ways."""
    return float(chamfers(a, b[None]))


def chamfers(cloud: Tensor, others: Tensor) -> Tensor:
    """Return the Chamfer distances (R,) of a cloud (N, 3) and others (R, M, 3), on their device."""
    rows = max(1, BLOCK[cloud.device.type == "cuda"] // others[..., 0].numel())
    there, back = [], others.new_full(others.shape[:2], torch.inf)
    for some in cloud.split(rows):
        found = torch.cdist(some, others)
        there.append(found.amin(2))
        back = torch.minimum(back, found.amin(1))
    return torch.cat(there, 1).square().mean(1) + back.square().mean(1)


def distances(samples: Sequence[Tensor], references: Sequence[Tensor]) -> Tensor:
    """Return the Chamfer distances ×10³ (samples, references) of clouds, each in its own box from -1 to 1.

    The references have the same number of points.
    """
    others = torch.stack([fit(cloud)[0] for cloud in references])
    return SCALE * torch.stack([chamfers(fit(cloud)[0], others) for cloud in samples]).cpu()


@dataclass(frozen=True)
class Matching:
    """Of each reference the distance to the nearest sample, and which references are some sample's nearest."""

    nearest: Tensor
    covered: Tensor

    @classmethod
    def of(cls, table: Tensor) -> "Matching":
        """Return the matching of distances (samples, references); the convention of Luo & Hu 2021."""
        covered = torch.zeros(table.shape[1], dtype=torch.bool)
        covered[table.argmin(1)] = True
        return cls(table.min(0).values, covered)

    @classmethod
    def joined(cls, parts: "Sequence[Matching]") -> "Matching":
        """Return the matchings of several kinds of objects as one."""
        return cls(torch.cat([part.nearest for part in parts]), torch.cat([part.covered for part in parts]))


def interval(values: Tensor, draws: int = 2000, of: int = 1) -> dict[str, float]:
    """Return a mean with its 95 % interval by bootstrap over values (N,), the same draws for every table."""
    generator = torch.Generator().manual_seed(of)
    means = values[torch.randint(len(values), (draws, len(values)), generator=generator)].mean(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975])).tolist()
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}
