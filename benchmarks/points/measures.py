"""How like two sets of point clouds are: Chamfer distance, minimum matching distance and coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...nextdit.clouds.shape import fit

SCALE = 1000  # what distances are given in
BLOCK = 2**28
"""Distances that a GPU computes at once. A processor looks in trees, which takes a fifth of the time."""


def chamfer(a: Tensor, b: Tensor) -> float:
    """Return the Chamfer distance of clouds (N, 3) and (M, 3): mean squared distances to the nearest, both ways."""
    return float(chamfers(a, b[None]))


def chamfers(cloud: Tensor, others: Tensor) -> Tensor:
    """Return the Chamfer distances (R,) of a cloud (N, 3) and others (R, M, 3), on their device."""
    if cloud.device.type == "cpu":
        return by_trees(cloud, planted(cloud), [(other, planted(other)) for other in others])
    return by_pairs(cloud, others)


def by_pairs(cloud: Tensor, others: Tensor) -> Tensor:
    """Do chamfers' work with the distances of all pairs of points."""
    rows = max(1, BLOCK // others[..., 0].numel())
    there, back = [], others.new_full(others.shape[:2], torch.inf)
    for some in cloud.split(rows):
        found = torch.cdist(some, others)
        there.append(found.amin(2))
        back = torch.minimum(back, found.amin(1))
    return torch.cat(there, 1).square().mean(1) + back.square().mean(1)


def planted(cloud: Tensor) -> cKDTree:
    """Return a tree to look for neighbours in."""
    return cKDTree(cloud.numpy())


def by_trees(cloud: Tensor, tree: cKDTree, others: Sequence[tuple[Tensor, cKDTree]]) -> Tensor:
    """Do chamfers' work with the trees of the cloud and the others."""
    pairs = ((other_tree.query(cloud.numpy())[0], tree.query(other.numpy())[0]) for other, other_tree in others)
    return torch.tensor([float((there**2).mean() + (back**2).mean()) for there, back in pairs])


def distances(samples: Sequence[Tensor], references: Sequence[Tensor]) -> Tensor:
    """Return the Chamfer distances ×10³ (samples, references) of clouds, each in its own box from -1 to 1.

    The references have the same number of points.
    """
    others, clouds = ([fit(cloud)[0] for cloud in row] for row in (references, samples))
    if others[0].device.type == "cpu":
        trees = [(other, planted(other)) for other in others]
        return SCALE * torch.stack([by_trees(cloud, planted(cloud), trees) for cloud in clouds])
    return SCALE * torch.stack([chamfers(cloud, torch.stack(others)) for cloud in clouds]).cpu()


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
