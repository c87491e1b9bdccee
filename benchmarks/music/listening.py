"""Tempo and key as they are heard in sound (B, samples) at SAMPLE_RATE, without any training."""

import numpy as np
import torch
from torch import Tensor

from ...training.data.music.tunes import Key
from ...training.data.sounds.rendering import SAMPLE_RATE

ONSETS = 512, 128
"""Window and hop, in samples, of the search for onsets."""
BEATS = np.geomspace(50.0, 200.0, 400)
"""Tempos that are tried, beats a minute."""
TONES = 4096, 1024
LOWEST, HIGHEST = 110.0, 2200.0
"""Hertz between which tones count."""
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well a tone fits a key, from its tonic upwards (Krumhansl and Kessler, 1982)."""


def magnitudes(sound: np.ndarray, window: int, hop: int) -> Tensor:
    """Return magnitudes (B, window / 2 + 1, frames)."""
    spectrum = torch.stft(torch.from_numpy(sound), window, hop, window=torch.hann_window(window), return_complex=True)
    return spectrum.abs()


def onsets(sound: np.ndarray) -> np.ndarray:
    """Return how much begins at every hop, (B, hops): the rise of loudness over all bands (Bello et al. 2005)."""
    level = (1 + 100 * magnitudes(sound, *ONSETS)).log()
    rise = (level[..., 2:] - level[..., :-2]).clamp(min=0).mean(1)
    smooth = torch.nn.functional.avg_pool1d(rise[:, None], 41, 1, 20, count_include_pad=False)[:, 0]
    return (rise - smooth).clamp(min=0).numpy()


def tempos(sound: np.ndarray) -> np.ndarray:
    """Return beats a minute (B,), from BEATS: the period at whose multiples onsets repeat best."""
    found = onsets(sound)
    found = found - found.mean(1, keepdims=True)
    length = found.shape[1]
    spectrum = np.fft.rfft(found, 2 * length)
    repeats = np.fft.irfft(np.abs(spectrum) ** 2)[:, :length] / (length - np.arange(length)).clip(length / 8)
    lags = 60 / BEATS * SAMPLE_RATE / ONSETS[1]
    prior = np.exp(-0.5 * (np.log2(BEATS / 100) / 0.9) ** 2)
    score = np.zeros((len(found), len(BEATS)))
    for row, repeat in zip(score, repeats, strict=True):
        for times in (0.5, 1, 2, 3, 4):
            row += np.interp(times * lags, np.arange(length), repeat, right=0.0) * (0.5 if times == 0.5 else 1.0)
    return BEATS[(score * prior).argmax(1)]


def chroma(sound: np.ndarray) -> np.ndarray:
    """Return how much there is of each of the twelve tones from C on, (B, 12), all octaves together."""
    level = magnitudes(sound, *TONES)
    peaks = level[:, 1:-1] * ((level[:, 1:-1] > level[:, :-2]) & (level[:, 1:-1] > level[:, 2:]))
    a, b, c = (level[:, i : i + peaks.shape[1]].clamp(min=1e-6).log() for i in range(3))
    shift = 0.5 * (a - c) / (a - 2 * b + c).clamp(max=-1e-6)
    place = (torch.arange(1, peaks.shape[1] + 1)[:, None] + shift) * SAMPLE_RATE / TONES[0]
    heard = peaks.sqrt() * ((place > LOWEST) & (place < HIGHEST))
    tone = (12 * (place.clamp(min=1.0) / 440.0).log2() + 69).round().long() % 12
    out = torch.zeros(len(sound), 12)
    out.scatter_add_(1, tone.flatten(1), heard.flatten(1))
    return out.numpy()


def keys(sound: np.ndarray) -> list[Key]:
    """Return the key (B) whose profile fits the tones best."""
    profiles = [
        (Key(tonic, minor), np.roll(kind, tonic))
        for minor, kind in ((False, MAJOR), (True, MINOR))
        for tonic in range(12)
    ]
    table = np.stack([profile for _, profile in profiles])
    table = table - table.mean(1, keepdims=True)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    heard = chroma(sound)
    heard = heard - heard.mean(1, keepdims=True)
    return [profiles[n][0] for n in (heard @ table.T).argmax(1)]
