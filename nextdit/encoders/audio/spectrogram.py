"""Spectra and latents of sound as pictures, low tones at the bottom."""

import torch
from torch import Tensor

LOW, HIGH = -4.0, 0.5
"""Levels of mel spectra, log10, that are drawn darkest and brightest."""
STOPS = ((0, 0, 20), (60, 15, 110), (190, 55, 80), (250, 150, 40), (255, 250, 190))
FLATTEST = 4
"""How many times as wide as high a picture may be before its rows are drawn higher."""


def level_of_spectra(mel: Tensor) -> Tensor:
    """Return how bright mel spectra are, 0 to 1."""
    return ((mel.float() - LOW) / (HIGH - LOW)).clamp(0.0, 1.0)


def level_of_latents(latents: Tensor) -> Tensor:
    """Return how bright latents are, 0 to 1, if they are about normal: how far from their mean."""
    return (latents.float().abs() / 3).clamp(0.0, 1.0)


def coloured(level: Tensor) -> Tensor:
    """Return levels (B, bins, T), 0 to 1, as pictures (B, 3, H, T), 0 to 1; in long ones a bin has several rows."""
    stops = torch.tensor(STOPS, device=level.device, dtype=torch.float32) / 255
    place = level.flip(1) * (len(stops) - 1)
    below = place.floor().long().clamp(max=len(stops) - 2)
    colours = torch.lerp(stops[below], stops[below + 1], (place - below).unsqueeze(-1)).movedim(-1, 1)
    rows = max(1, round(level.shape[2] / (FLATTEST * level.shape[1])))
    return colours.repeat_interleave(rows, dim=2)
