"""A stretch of one sound in another."""

import torch
import torch.nn.functional as F
from torch import Tensor

FADE = 0.01
"""Seconds in which one sound goes over into the other, so that nothing clicks."""


def splice(own: Tensor, made: Tensor, rate: int, begin: float, end: float, fade: float = FADE) -> Tensor:
    """Return sound (…, samples) with the samples of `own`, and from begin to `end` (s) those of `made`.

    Both at `rate`; the result is as long as `own`, or as far as the stretch goes where `made` is longer. Fades lie half
    inside of the stretch, and none is at the ends of a sound.
    """
    length = max(own.shape[-1], min(made.shape[-1], round(end * rate)))
    own, made = (F.pad(sound[..., :length], (0, max(0, length - sound.shape[-1]))) for sound in (own, made))
    time = torch.arange(length, device=own.device) / rate
    width = max(fade, 1.0 / rate)
    rising = (time - begin) / width + 0.5 if begin > 0 else torch.ones_like(time)
    falling = (end - time) / width + 0.5 if end < length / rate else torch.ones_like(time)
    return torch.lerp(own, made.to(own), torch.minimum(rising, falling).clamp(0.0, 1.0))
