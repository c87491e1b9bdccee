"""Spectrograms as pictures."""

import numpy as np
from torch import Tensor

LOW, HIGH, GAP = -4.0, 0.5, 4
STOPS = np.array([(0, 0, 20), (60, 15, 110), (190, 55, 80), (250, 150, 40), (255, 250, 190)], np.float32)


def to_picture(spectra: Tensor, columns: int = 2, enlarge: int = 2) -> np.ndarray:
    """Return mel spectra (B, bins, frames), log10, as one picture (H, W, 3), low tones at the bottom."""
    level = ((spectra.float().cpu().numpy() - LOW) / (HIGH - LOW)).clip(0, 1)[:, ::-1]
    places = np.linspace(0, 1, len(STOPS))
    drawn = np.stack([np.interp(level, places, STOPS[:, channel]) for channel in range(3)], -1)
    drawn = drawn.round().astype(np.uint8).repeat(enlarge, 1).repeat(enlarge, 2)
    drawn = np.concatenate([drawn, np.full_like(drawn[:1], 255).repeat(-len(drawn) % columns, 0)])
    framed = np.pad(drawn, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    rows = [np.concatenate(list(framed[i : i + columns]), axis=1) for i in range(0, len(framed), columns)]
    return np.concatenate(rows, axis=0)
