"""A range of times, with one convention for everybody."""

from dataclasses import dataclass
from typing import overload

from torch import Tensor

ROUNDING = 1e-6
"""What 1 − sigma in float32 may be off by, where a step lies on a limit."""


@dataclass(frozen=True)
class Span:
    """The times start ≤ t < end between 0 (noise) and 1 (data); t = 1 belongs to a span that ends there.

    So two spans that meet share no step. Raises ValueError unless 0 ≤ start ≤ end ≤ 1.
    """

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self):
        if not 0.0 <= self.start <= self.end <= 1.0:
            raise ValueError(f"times need 0 <= start <= end <= 1, got start {self.start:g} and end {self.end:g}")

    @overload
    def contains(self, t: float) -> bool: ...

    @overload
    def contains(self, t: Tensor) -> Tensor: ...

    def contains(self, t):
        """Tell whether a time lies within, or of a batch (B,) which do."""
        after_start = t + ROUNDING >= self.start
        return after_start if self.end == 1.0 else after_start & (t + ROUNDING < self.end)


NEVER = Span(0.0, 0.0)
