"""A part of the time of a sound or a clip."""

from dataclasses import dataclass

import torch
from torch import Tensor

FINER = 16
"""Parts of a frame in which the edges of a stretch of time are told."""


@dataclass(frozen=True)
class Stretch:
    """A part of a sound's or a clip's time, 0 its beginning and 1 its end; at both ends it is faded.

    `fade` is how long that takes, half of it within the stretch: of two that meet the shares add up to 1. Where the
    whole begins and ends, nothing is faded. Raises ValueError for an empty stretch, and for values out of range.
    """

    begins: float = 0.0
    ends: float = 1.0
    fade: float = 0.0

    def __post_init__(self):
        if not (0.0 <= self.begins < self.ends <= 1.0 and 0.0 <= self.fade <= 1.0):
            raise ValueError(
                "a stretch of time begins before it ends, both between 0 (the beginning) and 1 (the end), and fades in "
                f"0 to 1 of the whole; got begins {self.begins:g}, ends {self.ends:g}, fade {self.fade:g}"
            )

    def share(self, frames: int) -> Tensor:
        """Return how much of each of so many frames is in it, (frames,) in [0, 1]."""
        time = (torch.arange(frames * FINER, dtype=torch.float64) + 0.5) / (frames * FINER)
        ramp = max(self.fade, 1e-9)
        inside = torch.ones_like(time)
        if self.begins > 0.0:
            inside *= ((time - self.begins) / ramp + 0.5).clamp(0.0, 1.0)
        if self.ends < 1.0:
            inside *= ((self.ends - time) / ramp + 0.5).clamp(0.0, 1.0)
        return inside.unflatten(0, (frames, FINER)).mean(1).float()
