"""Time-aware context drop: self-attention looks at fewer, averaged image keys and values while t is small."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .rope import rotate

Pool = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""pool(k, v, rotary): unrotated k and v (B, H_kv, N, D) → rotated, pooled k and pooled v (B, H_kv, M, D)."""

FADES = ("linear", "none")


@dataclass(frozen=True)
class ContextDrop:
    """Average keys and values over `window`×`window` image tokens, queries and text untouched.

    A window of 2 drops 75 % of the context (paper section 2.3). With fade "linear", the first
    round((1−t)·n_layers) layers drop (our definition: the paper fixes the ends only), with "none" all layers
    at every t (the reference's disabled code). `before_rope` pools keys before rotation and turns the average by its
    window's centre; otherwise rotated keys are pooled (reference code). Raises ValueError on values out of range.
    """

    window: int = 2
    fade: str = "linear"
    before_rope: bool = False

    def __post_init__(self):
        if self.window < 1:
            raise ValueError(f"the context drop window must be at least 1, got {self.window}")
        if self.fade not in FADES:
            raise ValueError(f"unknown fade {self.fade!r}; known: {', '.join(FADES)}")

    def layers(self, t: float, n_layers: int) -> int:
        """Return how many of the first layers drop at time t."""
        if self.window == 1:
            return 0
        return n_layers if self.fade == "none" else round((1 - t) * n_layers)

    def pool(self, grid: tuple[int, int]) -> Pool:
        """Return the pooling for image tokens on a grid of (rows, columns); a ragged edge keeps its smaller windows."""

        def average(x: Tensor) -> Tensor:
            b, h, _, d = x.shape
            image = x.transpose(2, 3).reshape(b, h * d, *grid)  # (B, H, N, D) → (B, H·D, rows, columns)
            image = F.avg_pool2d(image, self.window, ceil_mode=True, count_include_pad=False)
            return image.reshape(b, h, d, -1).transpose(2, 3)

        def pool(k: Tensor, v: Tensor, rotary: Tensor) -> tuple[Tensor, Tensor]:
            if not self.before_rope:
                return average(rotate(k, rotary)), average(v)
            # the mean of a window's unit vectors points at its centre; only its length has to be restored
            centre = average(rotary.transpose(0, 1)).transpose(0, 1)
            centre = centre / centre.norm(dim=0, keepdim=True).clamp(min=1e-6)
            return rotate(average(k), centre), average(v)

        return pool
