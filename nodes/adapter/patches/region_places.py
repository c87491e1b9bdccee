"""Where regions are: masks, areas of stock nodes and stretches of time, laid on the latent that is sampled."""

import comfy.utils
import torch
import torch.nn.functional as F
from torch import Tensor

from ....nextdit.stretch import Stretch


def place(masks: tuple[Tensor, ...], area: tuple | None, stretch: Stretch | None, axes: tuple[int, ...]) -> Tensor:
    """Return where a region is on a latent whose last axes have these sizes, (B or 1, *axes) in [0, 1].

    masks are (B or 1, height, width) of any size, and multiply; on a clip (frames or 1, height, width), on a sound
    their columns are time. Raises ValueError for an area or a stretch of what a latent of these axes does not have.
    """
    found = torch.ones(1, *axes) if area is None else area_mask(area, *axes)
    if stretch is not None:
        if len(axes) == 2:
            raise ValueError(
                "a picture has no time, which Timed Prompt gives its prompt a part of: use Regional Prompt with a mask"
            )
        found = found * stretch.share(axes[0]).reshape(-1, *(1,) * (len(axes) - 1))
    for mask in masks:
        mask = laid(mask.float().cpu(), axes)
        rows = max(len(mask), len(found))
        found = comfy.utils.repeat_to_batch_size(found, rows) * comfy.utils.repeat_to_batch_size(mask, rows)
    return found.clamp(0.0, 1.0)


def laid(mask: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return a mask (n, height, width) at the size of a latent's axes, (n or 1, *axes): averaged, or repeated."""
    if len(axes) == 1:
        return F.interpolate(mask.mean(dim=1, keepdim=True), axes, mode="area").squeeze(1)
    if len(axes) == 3:
        return F.interpolate(mask[None, None], axes, mode="area").squeeze(1)
    return F.interpolate(mask.unsqueeze(1), axes, mode="area").squeeze(1)


def area_mask(area: tuple, *axes: int) -> Tensor:
    """Return a stock node's area, (*sizes, *offsets) or ("percentage", …), as a mask (1, *axes).

    One of rows and columns holds for all frames of a clip. Raises ValueError for an area of other axes.
    """
    share = area[0] == "percentage"
    told = tuple(area[1:] if share else area)
    count = len(told) // 2
    if count > len(axes) or count < min(len(axes), 2):
        raise ValueError(
            f"the area on a region has {count} axes, but what is sampled has {len(axes)}: use the Set Area node that "
            "is made for it, or a mask"
        )
    sizes = axes[-count:]
    if share:
        told = tuple(round(part * size) for part, size in zip(told, sizes * 2, strict=True))
    mask = torch.zeros(1, *axes)
    inside = mask
    for axis, (size, at) in enumerate(zip(told[:count], told[count:], strict=True), 1 + len(axes) - count):
        inside = inside.narrow(axis, at, min(max(1, size), inside.shape[axis] - at))
    inside.fill_(1.0)
    return mask
