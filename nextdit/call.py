"""What one evaluation of a network may change, as a value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .context_drop import ContextDrop
from .layers.attend import Attend, default_attend
from .layers.attention import Attending
from .layers.rope import Axes
from .layers.rope_scaling import PLAIN, RopeScaling
from .layers.tokens import additive_mask

RunLayer = Callable[[Tensor], Tensor]
Replace = Mapping[int, Callable[[Tensor, RunLayer], Tensor]]
"""What runs in place of a layer: replace[index](x, run) → x, where run(x) is the layer itself."""


@dataclass(frozen=True)
class Call:
    """What one evaluation changes.

    The first `dropped_layers` layers drop context: whoever makes the call asks `drop.layers`, so that nothing within it
    waits for t's value. `cross` attends to the text in place of `attend`; `replace` runs something else in place of a
    layer; `positions` are those of the rows and the columns for RoPE, by default 0, 1, 2, …, `frame_positions` those of
    the frames of a clip; `pooled` (B, text_dim) modulates the layers in place of the mean text feature. `proportional`
    attention is for networks without RoPE, the others have it as part of `rope`.
    """

    rope: RopeScaling | None = None
    drop: ContextDrop | None = None
    dropped_layers: int = 0
    attend: Attend = default_attend
    cross: Attend | None = None
    replace: Replace | None = None
    positions: Sequence[Tensor] | None = None
    pooled: Tensor | None = None
    proportional: bool = False
    frame_positions: Tensor | None = None

    @classmethod
    def of(cls, t: Tensor, n_layers: int, drop: ContextDrop | None = None, **options: Any) -> "Call":
        """Return the call of a network of `n_layers` at times t (B,), with the number of layers that drop context.

        Of `options`, the other fields, None stands for the default. Raises ValueError as `ContextDrop.layers`.
        """
        dropped = 0 if drop is None else drop.layers(t, n_layers)
        given = {name: value for name, value in options.items() if value is not None}
        return cls(drop=drop, dropped_layers=dropped, **given)

    @property
    def scaling(self) -> RopeScaling:
        """How RoPE is scaled: `rope`, or not at all."""
        return PLAIN if self.rope is None else self.rope  # no default: torch.compile has no source for a value in one

    def with_attend(self, wrap: Callable[[Attend], Attend]) -> "Call":
        """Return the call with its attention, to the picture and to the text, wrapped."""
        cross = self.attend if self.cross is None else self.cross
        return replace(self, attend=wrap(self.attend), cross=wrap(cross))

    def grid_positions(self, grid: Sequence[int], device: torch.device) -> Sequence[Tensor]:
        """Return the positions of a grid's rows and columns."""
        if self.positions is not None:
            return self.positions
        return [torch.arange(n, device=device) for n in grid]

    def counted(self, frames: int, device: torch.device) -> Tensor:
        """Return the positions of this many frames."""
        return torch.arange(frames, device=device) if self.frame_positions is None else self.frame_positions

    def attending(
        self, rotary: Tensor, mask: Tensor | None, grid: tuple[int, int], dtype: torch.dtype, axes: Axes
    ) -> Attending:
        """Return how the layers attend on a grid of patches, under a (B, L) mask of the text.

        Raises ValueError for what tokens in one line cannot have.
        """
        if axes.in_line and self.drop is not None:
            raise ValueError(
                "context drop averages windows of a grid, but this model's tokens stand in one line: leave it out"
            )
        if axes.in_line and self.positions is not None:
            raise ValueError("this model's tokens stand in one line: they have no rows and columns to move")
        return Attending(
            rotary,
            self.attend,
            self.attend if self.cross is None else self.cross,
            None if mask is None else additive_mask(mask.to(rotary.device), dtype),
            self.scaling.logit_scale(axes.tokens(grid), axes),
            None if self.drop is None else self.drop.pool(grid),
        )


PLAIN_CALL = Call()
