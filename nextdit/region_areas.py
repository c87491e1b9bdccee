"""Regions as pictures of their own: each text draws the box around its region, and what overlaps is shared out.

For the first steps of sampling, which decide what stands where; attention then makes them one picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 8
"""Cells of the latent that a box has at least per side, as in ComfyUI's areas."""


@dataclass(frozen=True)
class Area:
    """The box around a region on the latent, and the region's share (B, 1, h, w) of each of its cells."""

    rows: slice
    columns: slice
    share: Tensor

    def cut(self, x: Tensor) -> Tensor:
        """Return the box out of a latent (…, H, W)."""
        return x[..., self.rows, self.columns]


def areas_of(weights: Tensor, patch_size: int) -> list[Area | None]:
    """Return the areas of texts that are heard with weights (B, T, H, W), None for one that is heard nowhere.

    Boxes begin and end between patches.
    """
    areas: list[Area | None] = []
    for shares in weights.unbind(dim=1):
        heard = (shares > 0).any(dim=0)
        if not heard.any():
            areas.append(None)
            continue
        rows, columns = (_bounds(heard.any(dim=side), patch_size) for side in (1, 0))
        areas.append(Area(rows, columns, shares[:, None, rows, columns]))
    return areas


def paint_areas(x: Tensor, areas: Sequence[Area | None], draw: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Return the sum of what draw(text's number, box of x) makes of every area, by its share; x is (B, C, …, H, W)."""
    out = torch.zeros_like(x)
    for number, area in enumerate(areas):
        if area is not None:
            drawn = draw(number, area.cut(x).contiguous())
            share = area.share.to(x).reshape(-1, *(1,) * (x.ndim - 3), *area.share.shape[-2:])
            out[..., area.rows, area.columns] += share * drawn
    return out


def _bounds(heard: Tensor, patch_size: int) -> slice:
    """Return the smallest range of whole patches around the cells (L,) that are heard."""
    places = heard.nonzero().flatten()
    start, stop, length = int(places[0]), int(places[-1]) + 1, len(heard)
    missing = max(LEAST - (stop - start), 0)
    stop = min(stop + missing, length)
    start = max(min(start, stop - LEAST), 0)
    return slice(start // patch_size * patch_size, min(-(-stop // patch_size) * patch_size, length))
