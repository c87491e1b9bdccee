"""Spectrograms of many sounds in one picture."""

import numpy as np
from torch import Tensor

from ....nextdit.encoders.audio.spectrogram import coloured, level_of_spectra

GAP = 4


def to_picture(spectra: Tensor, columns: int = 2, enlarge: int = 2) -> np.ndarray:
    """Return mel spectra (B, bins, frames), log10, as one picture (H, W, 3), low tones at the bottom."""
    drawn = (coloured(level_of_spectra(spectra.cpu())) * 255).round().byte().movedim(1, -1).numpy()
    drawn = drawn.repeat(enlarge, 1).repeat(enlarge, 2)
    drawn = np.concatenate([drawn, np.full_like(drawn[:1], 255).repeat(-len(drawn) % columns, 0)])
    framed = np.pad(drawn, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    rows = [np.concatenate(list(framed[i : i + columns]), axis=1) for i in range(0, len(framed), columns)]
    return np.concatenate(rows, axis=0)
