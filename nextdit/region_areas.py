"""Regions as pictures of their own: each text draws the box around its region, and what overlaps is shared out.

For the first steps of sampling, which decide what stands where; attention then makes them one picture. A sound's region
has one axis, a picture's two, a clip's three.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 8
"""Cells of the latent that a box has at least per side, as in ComfyUI's areas; of frames of a clip one will do."""


@dataclass(frozen=True)
class Area:
    """The box around a region on the latent's last axes, and the region's share (B, 1, *box) of each of its cells."""

    box: tuple[slice, ...]
    share: Tensor

    def cut(self, x: Tensor) -> Tensor:
        """Return the box out of a latent (…, *axes); what has one value for a whole axis keeps it."""
        return cut(x, self.box)


def cut(x: Tensor, box: Sequence[slice]) -> Tensor:
    """Return a box out of x (…, *axes), a view."""
    for axis, side in enumerate(box, x.ndim - len(box)):
        x = x if x.shape[axis] == 1 else x.narrow(axis, side.start, side.stop - side.start)
    return x


def patch_sizes(axes: int, patch_size: int) -> tuple[int, ...]:
    """Return how many cells of a latent with so many axes one token is wide: of a clip, it is one frame long."""
    return (1,) * (axes - 2) + (patch_size,) * min(axes, 2)


def areas_of(weights: Tensor, patch_size: int) -> list[Area | None]:
    """Return the areas of texts that are heard with weights (B, T, *axes), None for one that is heard nowhere.

    Boxes begin and end between patches.
    """
    sizes = patch_sizes(weights.ndim - 2, patch_size)
    areas: list[Area | None] = []
    for shares in weights.unbind(dim=1):
        heard = (shares > 0).any(dim=0)
        if not heard.any():
            areas.append(None)
            continue
        sides = [heard.movedim(axis, 0).reshape(size, -1).any(dim=1) for axis, size in enumerate(heard.shape)]
        leasts = (1,) * (len(sides) - 2) + (LEAST,) * min(len(sides), 2)
        box = tuple(_bounds(*side) for side in zip(sides, sizes, leasts, strict=True))
        areas.append(Area(box, cut(shares, box).unsqueeze(1)))
    return areas


def paint_areas(x: Tensor, areas: Sequence[Area | None], draw: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Return the sum of what draw(text's number, box of x) makes of every area, by its share; x is (B, C, …, *axes)."""
    out = torch.zeros_like(x)
    for number, area in enumerate(areas):
        if area is not None:
            drawn = draw(number, area.cut(x).contiguous())
            cells = area.share.shape[2:]
            share = area.share.to(x).reshape(-1, *(1,) * (x.ndim - 1 - len(cells)), *cells)
            area.cut(out).add_(share * drawn)
    return out


def _bounds(heard: Tensor, patch_size: int, least: int) -> slice:
    """Return the smallest range of whole patches around the cells (L,) that are heard."""
    places = heard.nonzero().flatten()
    start, stop, length = int(places[0]), int(places[-1]) + 1, len(heard)
    missing = max(least - (stop - start), 0)
    stop = min(stop + missing, length)
    start = max(min(start, stop - least), 0)
    return slice(start // patch_size * patch_size, min(-(-stop // patch_size) * patch_size, length))
