"""Several prompts in one picture, sound or clip: each text is heard by its region's tokens, self-attention is global.

Axes are rows and columns of a picture, frames, rows and columns of a clip, or the frames of a sound.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers.tokens import masked_mean
from .region_areas import Area, areas_of, patch_sizes
from .span import NEVER, Span

Cross = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Attention to the text, as `Call.cross` takes it: the arguments and result of an `Attend`."""


@dataclass(frozen=True)
class Region:
    """One region's text and how much it is heard.

    `tokens` is the length of its text; `strength` its weight against other regions, below 1 also against the global
    prompt; `global_weight` the share of itself that it leaves to the global prompt; `span` says when it acts. With
    `modulates` it also modulates, in place of the global prompt, the frames of a clip that hear it.
    Raises ValueError for values out of range.
    """

    tokens: int
    strength: float = 1.0
    global_weight: float = 0.0
    span: Span = Span()
    modulates: bool = False

    def __post_init__(self):
        if self.tokens < 1 or self.strength < 0.0 or not 0.0 <= self.global_weight <= 1.0:
            raise ValueError(
                "a region needs at least 1 text token, a strength of at least 0 and a global_weight between 0 and 1; "
                f"got tokens {self.tokens}, strength {self.strength:g}, global_weight {self.global_weight:g}"
            )


@dataclass(frozen=True)
class Regions:
    """A global prompt and regions, whose texts follow one another in one sequence, the global prompt's first.

    `areas` says when each is a picture of its own (`areas_at`), for whoever makes the calls. `summed` selects the maths
    of the reference's compositional demo (its row and column mix-up aside): regions are hard, overlaps add up, and the
    global prompt acts through the pooled feature only.
    """

    global_tokens: int
    regions: tuple[Region, ...]
    summed: bool = False
    areas: Span = NEVER

    def __post_init__(self):
        if self.summed and self.areas.end > 0.0:
            raise ValueError("the reference's maths has no areas: leave them out, or take the other maths")
        if self.summed and any(region.global_weight for region in self.regions):
            raise ValueError(
                "the reference's maths lets no image token attend to the global prompt; set every global_weight to 0"
            )

    def spans(self) -> list[slice]:
        """Return where the global prompt's and each region's tokens lie in the sequence."""
        spans, start = [], 0
        for length in (self.global_tokens, *(region.tokens for region in self.regions)):
            spans.append(slice(start, start + length))
            start += length
        return spans

    def pooled(self, text: Tensor, text_mask: Tensor | None) -> Tensor:
        """Return the mean feature (B, D) of the global prompt in text (B, L, D), which modulates all layers."""
        return self.means(text, text_mask)[0]

    def means(self, text: Tensor, text_mask: Tensor | None) -> list[Tensor]:
        """Return the mean feature (B, D) of the global prompt and of each region."""
        masks = [None if text_mask is None else text_mask[:, span] for span in self.spans()]
        return [masked_mean(text[:, span], mask) for span, mask in zip(self.spans(), masks, strict=True)]

    def pooled_by_frame(self, text: Tensor, text_mask: Tensor | None, weights: Tensor, frames: int) -> Tensor:
        """Return the mean feature that modulates each frame of B clips, (B·frames, D), for weights (B, 1 + R, N).

        It is mixed of the texts by how much a frame's tokens hear them, the global prompt standing in for regions that
        do not modulate.
        """
        heard = weights.unflatten(2, (frames, -1)).mean(3).to(text.dtype)  # (B, 1 + R, frames)
        whole, *means = self.means(text, text_mask)
        mixed = whole[:, None].expand(-1, frames, -1)
        for i, (region, mean) in enumerate(zip(self.regions, means, strict=True), 1):
            if region.modulates:
                mixed = mixed + heard[:, i, :, None] * (mean - whole)[:, None]
        return mixed.flatten(0, 1)

    def weights(self, masks: Tensor, t: Tensor, patch_size: int) -> Tensor:
        """Return how much each token hears the global prompt and each region, (B, 1 + R, N) float32.

        masks (B or 1, R, *axes) in [0, 1] at the latent's size, t (B,). By default the weights of a token add up to 1:
        where regions overlap they share, where they cover a token in part or not at all the global prompt has the rest.
        """
        covered = to_tokens(masks, patch_size)  # (B or 1, R, N)
        if self.summed:
            covered = (covered > 0.5).float()
        # region by region, with plain numbers: a tensor of them would be copied to the GPU in every call
        strengths = [region.strength * region.span.contains(t)[:, None] for region in self.regions]  # (B, 1) each
        covered = torch.stack([covered[:, i] * strength for i, strength in enumerate(strengths)], dim=1)  # (B, R, N)
        if self.summed:
            return torch.cat([torch.zeros_like(covered[:, :1]), covered], dim=1)
        covered = covered / covered.sum(dim=1, keepdim=True).clamp(min=1.0)
        kept = [1.0 - region.global_weight for region in self.regions]
        heard = torch.stack([covered[:, i] * part for i, part in enumerate(kept)], dim=1)
        return torch.cat([1.0 - heard.sum(dim=1, keepdim=True), heard], dim=1)

    def areas_at(self, masks: Tensor, t: Tensor, patch_size: int) -> list[Area | None]:
        """Return the areas of the global prompt and of each region, for masks and t as `weights` takes them."""
        return areas_of(self.weights(masks, t, 1).unflatten(2, masks.shape[2:]), patch_size)

    def cross(self, weights: Tensor, attend: Cross) -> Cross:
        """Return the attention to the texts under weights (B, 1 + R, N): that of each, weighted token by token."""
        texts = [item for item in enumerate(self.spans()) if not (self.summed and item[0] == 0)]

        def attend_regions(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
            out = torch.zeros_like(q)
            for i, span in texts:
                # a copy: cuDNN, which PyTorch takes on Hopper, refuses a mask that begins between two 16 bytes
                own = None if mask is None else mask[..., span].clone()
                heard = weights[:, i, :, None].to(q.dtype).unsqueeze(1)  # (B, 1, N, 1): the same for every head
                out = out + heard * attend(q, k[:, :, span], v[:, :, span], own)
            return out

        return attend_regions


def to_tokens(masks: Tensor, patch_size: int) -> Tensor:
    """Average masks (B, R, *axes) over the cells of each token, (B, R, N); padding does not count."""
    sizes = patch_sizes(masks.ndim - 2, patch_size)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(sizes) - 1]
    return pool(masks.float(), sizes, ceil_mode=True).flatten(2)


def grid_cell(rows: int, columns: int, row: int, column: int, height: int, width: int, feather: float = 0.0) -> Tensor:
    """Return the mask (height, width) of one cell of a grid, counted from 0; the cells' masks add up to 1 everywhere.

    `feather` is the width of the soft edge between two cells, in parts of a cell. Raises ValueError for a cell outside
    of the grid, more cells than pixels, and a feather outside of [0, 1].
    """
    if not (0 <= row < rows and 0 <= column < columns):
        raise ValueError(f"row {row + 1}, column {column + 1} is outside of a grid of {rows} rows, {columns} columns")
    if rows > height or columns > width:
        raise ValueError(f"{height}×{width} pixels are too few for {rows} rows and {columns} columns")
    if not 0.0 <= feather <= 1.0:
        raise ValueError(f"feather is a part of a cell, between 0 and 1, got {feather:g}")
    return torch.outer(_band(rows, row, height, feather), _band(columns, column, width, feather))


def _band(count: int, index: int, length: int, feather: float) -> Tensor:
    """Return the weights (length,) of one of `count` equal bands: 1 inside, linear edges towards its neighbours."""
    cell = length / count
    centres = torch.arange(length) + 0.5
    ramp = max(feather * cell, 1e-6)

    def after(edge: int) -> Tensor:  # 0 before an edge between two cells, 1 after it; the picture's border is none
        if edge in (0, count):
            return torch.full((length,), float(edge == 0))
        return ((centres - edge * cell) / ramp + 0.5).clamp(0.0, 1.0)

    return after(index) - after(index + 1)
