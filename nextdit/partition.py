"""Dynamic partition: how a picture of any size and shape is cut into patches (paper section 4)."""

import math
from functools import cache

import torch.nn.functional as F
from torch import Tensor

MATCHES = 0.95
"""How near to the best match of shapes a grid counts as just as good, so that the size decides (our definition)."""


@cache
def candidates(max_patches: int, max_ratio: float) -> tuple[tuple[int, int], ...]:
    """Return all grids (rows, columns) of at most `max_patches` whose longer side is at most `max_ratio` the shorter.

    Raises ValueError unless there is at least one.
    """
    if max_patches < 1 or not max_ratio >= 1:
        raise ValueError(
            f"expected at least 1 patch and a ratio of sides from 1 on, got {max_patches} patches and {max_ratio:g}"
        )
    return tuple(
        (rows, columns)
        for rows in range(1, max_patches + 1)
        for columns in range(math.ceil(rows / max_ratio), min(max_patches // rows, math.floor(rows * max_ratio)) + 1)
    )


@cache
def partition(
    height: int, width: int, patch: int, max_patches: int, max_ratio: float = 4.0, min_patches: int = 1
) -> tuple[int, int]:
    """Return the grid (rows, columns) of patches into which a picture of height × width pixels is best resized.

    The grid whose shape is the picture's (paper section 4): shapes match by min(r, c) / max(r, c), where r and c are
    how much the sides are stretched. Of those that match about as well the nearest in area, so that pictures keep
    their resolution where they can. Raises ValueError on an empty picture.
    """
    if height < 1 or width < 1:
        raise ValueError(f"the picture is empty, {height} × {width} pixels; it needs at least one")
    grids = [g for g in candidates(max_patches, max_ratio) if math.prod(g) >= min(min_patches, max_patches)]
    area = math.log(max(min_patches, min(max_patches, height * width / patch**2)))

    def match(grid: tuple[int, int]) -> float:
        down, across = grid[0] / height, grid[1] / width
        return min(down, across) / max(down, across)

    best = MATCHES * max(map(match, grids))
    near = [grid for grid in grids if match(grid) >= best]
    return min(near, key=lambda grid: (abs(math.log(math.prod(grid)) - area), -match(grid)))


def resized(picture: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """Resize pictures (…, 3, H, W) in [-1, 1] to whole patches, (…, 3, rows·patch, columns·patch), unless they fit."""
    size = grid[0] * patch, grid[1] * patch
    if tuple(picture.shape[-2:]) == size:
        return picture
    one = picture.reshape(-1, *picture.shape[-3:])
    out = F.interpolate(one, size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)
    return out.reshape(*picture.shape[:-2], *size)
