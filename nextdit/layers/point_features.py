"""Fourier features of coordinates, and the methods that scale their frequencies with time (paper section 5.3), as data.

The paper does not print its formula; the methods are our definitions, after those for RoPE (paper section 2.3).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...options import Method, pick

LOWEST, HIGHEST = 0.25, 32.0
"""Periods per unit of length, at t = 1; clouds lie in about [-1, 1]."""


@dataclass(frozen=True)
class PointScaling(Method):
    """A way to scale frequencies: what the exponent of `scale` is, (B, K), for i / (K − 1) (K,) and times t (B, 1).

    i counts from the lowest frequency; 1 divides by the whole scale, 0 leaves a frequency as it is.
    """

    exponent: Callable[[Tensor, Tensor], Tensor] = lambda i, t: torch.zeros_like(t * i)


def _rope_like(i: Tensor, t: Tensor) -> Tensor:
    width = 2 * len(i)
    return ((1 - i) * width / ((width - 1) * t + 1)).clamp(max=1.0)


METHODS: dict[str, PointScaling] = {
    method.name: method
    for method in (
        PointScaling("plain", "frequencies as they are"),
        PointScaling(
            "interpolation", "all frequencies divided by the scale", exponent=lambda i, t: torch.ones_like(t * i)
        ),
        PointScaling(
            "ntk_aware", "the lowest divided by the scale, the highest as it is", exponent=lambda i, t: (1 - i) + 0 * t
        ),
        PointScaling(
            "time_aware",
            "all divided by the scale in noise, returning as the cloud forms",
            exponent=lambda i, t: (1 - t) + 0 * i,
        ),
        PointScaling(
            "time_aware_rope", "as RoPE's time_aware: interpolation in noise, then ntk_aware", exponent=_rope_like
        ),
    )
}
DEFAULT = "time_aware"


def frequencies(count: int, t: Tensor, method: str = DEFAULT, scale: float = 8.0) -> Tensor:
    """Return the frequencies (B, count) of an axis at times t (B,), float32. Raises ValueError on an unknown method."""
    pick("point scaling", method, METHODS)
    i = torch.arange(count, dtype=torch.float32, device=t.device) / max(1, count - 1)
    full = LOWEST * (HIGHEST / LOWEST) ** i
    return full * scale ** -METHODS[method].exponent(i, t.float()[:, None])


class PointEmbedder(nn.Module):
    """Coordinates (B, N, 3) at times t (B,) → tokens (B, N, dim): a linear map of them and their Fourier features.

    Those are computed in float32: 16 bits have too few digits for the high frequencies.
    """

    def __init__(self, count: int, dim: int, method: str, scale: float, *, operations, **factory):
        super().__init__()
        self.count, self.method, self.scale = count, method, scale
        self.linear = operations.Linear(3 + 6 * count, dim, **factory)

    def forward(self, x: Tensor, t: Tensor, dtype: torch.dtype) -> Tensor:
        x = x.float()
        f = frequencies(self.count, t, self.method, self.scale)
        angles = (2 * math.pi * x.unsqueeze(-1) * f[:, None, None]).flatten(2)
        return self.linear(torch.cat([x, angles.sin(), angles.cos()], dim=-1).to(dtype))
