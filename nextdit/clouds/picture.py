"""A picture of a cloud from four sides, for people without a viewer."""

import math

import torch
from torch import Tensor

AZIMUTHS = (30.0, 120.0, 210.0, 300.0)
ELEVATION = 20.0


def four_sides(points: Tensor, side: int = 256) -> Tensor:
    """Return a row of pictures, uint8 (side, 4·side, 3), of points (N, 3), z up, from AZIMUTHS; nearer is darker."""
    return torch.cat([from_side(points, azimuth, side) for azimuth in AZIMUTHS], dim=1)


def from_side(points: Tensor, azimuth: float, side: int = 256) -> Tensor:
    """Return a picture, uint8 (side, side, 3), of points (N, 3) from an azimuth in degrees counter-clockwise from x."""
    points = points.float().cpu()
    centre = (points.amin(0) + points.amax(0)) / 2
    points = (points - centre) / (points - centre).norm(dim=1).max().clamp(min=1e-6)
    a, e = math.radians(azimuth), math.radians(ELEVATION)
    right = torch.tensor([-math.sin(a), math.cos(a), 0.0])
    towards = torch.tensor([math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)])
    up = torch.linalg.cross(towards, right)
    radius = max(0, round(side / 160 * min(1.0, (2048 / len(points)) ** 0.5) - 0.2))
    column, row = ((points @ axis * sign * 0.95 + 1) * (side - 1) / 2 for axis, sign in ((right, 1), (up, -1)))
    grey = torch.full((side * side,), 255.0)
    shade = 40 + 130 * (1 - points @ towards) / 2
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            cells = (row.round().long() + dy).clamp(0, side - 1) * side + (column.round().long() + dx).clamp(
                0, side - 1
            )
            grey = grey.scatter_reduce(0, cells, shade, "amin")
    return grey.to(torch.uint8).view(side, side, 1).expand(-1, -1, 3)
