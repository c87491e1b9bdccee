"""Time-aware context drop: self-attention looks at fewer, averaged image keys and values while t is small."""

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from .layers.attention import Pool
from .layers.rope import rotate
from .span import Span

FADES = ("linear", "none")


def average_windows(x: Tensor, grid: tuple[int, int], window: int) -> Tensor:
    """Average x (B, H, N, D), N tokens on a grid of (rows, columns), over windows → (B, H, M, D).

    A ragged edge keeps its smaller windows.
    """
    b, h, _, d = x.shape
    # (B, H, N, D) → (B·H, D, rows, columns) with channels last, whose kernel is far faster than that of other strides
    image = x.contiguous().view(b * h, *grid, d).permute(0, 3, 1, 2)
    image = F.avg_pool2d(image, window, ceil_mode=True, count_include_pad=False)
    return image.permute(0, 2, 3, 1).reshape(b, h, -1, d)


@dataclass(frozen=True)
class ContextDrop:
    """Average keys and values over `window`×`window` image tokens, queries and text untouched.

    A window of 2 drops 75 % of the context (paper section 2.3). With fade "linear", the first
    round((1−t)·n_layers) layers drop (our definition: the paper fixes the ends only), with "none" all layers
    at every t (the reference's disabled code); outside of the `Span` from `start` to `end` none drops.
    `before_rope` pools keys before rotation and turns the average by its window's centre; otherwise rotated keys are
    pooled (reference code). Raises ValueError on values out of range.
    """

    window: int = 2
    fade: str = "linear"
    before_rope: bool = False
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self):
        if self.window < 1:
            raise ValueError(f"the context drop window must be at least 1, got {self.window}")
        if self.fade not in FADES:
            raise ValueError(f"unknown fade {self.fade!r}; known: {', '.join(FADES)}")
        Span(self.start, self.end)  # refuses what is no range

    def layers(self, t: float | Tensor, n_layers: int) -> int:
        """Return how many of the first layers drop at time t, a number or a batch (B,) of one and the same time.

        Reads a tensor's value, which waits for the GPU: once per call of the network. Raises ValueError on a batch of
        several times, since a layer drops for the whole batch or not at all.
        """
        if self.window == 1:
            return 0
        if self.fade == "none" and (self.start, self.end) == (0.0, 1.0):
            return n_layers
        times = t.flatten().tolist() if isinstance(t, Tensor) else [t]
        if min(times) != max(times):
            raise ValueError(
                f"context drop that changes with time needs one time for the whole batch, got times from "
                f"{min(times):g} to {max(times):g}; call the network once per time, or use the fade none"
            )
        time = min(max(times[0], 0.0), 1.0)  # sigmas have rounding errors
        if not Span(self.start, self.end).contains(time):
            return 0
        return n_layers if self.fade == "none" else round((1 - time) * n_layers)

    def pool(self, grid: tuple[int, int]) -> Pool:
        """Return the pooling for image tokens on a grid of (rows, columns); a ragged edge keeps its smaller windows."""

        average = partial(average_windows, grid=grid, window=self.window)

        def pool(k: Tensor, v: Tensor, rotary: Tensor) -> tuple[Tensor, Tensor]:
            if not self.before_rope:
                return average(rotate(k, rotary)), average(v)
            # the mean of a window's unit vectors points at its centre; only its length has to be restored
            centre = average(rotary.transpose(0, 1)).transpose(0, 1)
            centre = centre / centre.norm(dim=0, keepdim=True).clamp(min=1e-6)
            return rotate(average(k), centre), average(v)

        return pool
