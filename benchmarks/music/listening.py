"""Tempo and key as they are heard in sound (B, samples) at SAMPLE_RATE; nothing here learns from our clips."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import resample_poly

from ...nextdit.encoders.audio.mel import Mel
from ...training.data.music.tunes import Key
from ...training.data.sounds.rendering import SAMPLE_RATE

ONSETS = Mel(sample_rate=SAMPLE_RATE, hop=128, bins=40)
RISE, LOUD, AROUND = 4, 100.0, 0.35
"""Hops over which loudness rises where something begins, how its logarithm is taken, seconds whose mean counts as 0."""
BEATS = np.geomspace(50.0, 200.0, 400)
"""Tempos that are tried, beats a minute."""
TIMES = {0.5: 0.5, 1.0: 1.0, 2.0: 1.0, 3.0: 1.0, 4.0: 1.0}
"""Multiples of a beat after which onsets repeat → what that counts."""

NOTES_RATE, NOTES_WINDOW, LOWEST_NOTE, CLEAR = 22050, 43844, 21, 0.3
"""What basic-pitch takes, the key of its first note, and from where on it is sure."""
OPENING = 0.8, 3.0
"""Seconds in which a tune begins, with its tonic more often than not, and how much more they count."""
MAJOR = (1.0, 0.0, 0.7, 0.0, 0.8, 0.7, 0.0, 1.0, 0.0, 0.7, 0.0, 0.7)
MINOR = (1.0, 0.0, 0.7, 0.8, 0.0, 0.7, 0.0, 1.0, 0.7, 0.0, 0.4, 0.5)
"""How well tones fit a key, from its tonic upwards: the scale, of which the tonic's triad counts most."""


def onsets(sound: np.ndarray) -> np.ndarray:
    """Return how much begins at every hop, (B, hops): the rise of loudness over all bands (Bello et al. 2005)."""
    spectrum = 10 ** ONSETS(torch.from_numpy(sound))
    level = (1 + LOUD * spectrum / spectrum.amax((1, 2), keepdim=True)).log()
    level = F.avg_pool1d(level, 3, 1, 1, count_include_pad=False)
    rise = (level[..., RISE:] - level[..., :-RISE]).clamp(min=0).mean(1)
    half = round(AROUND / 2 * ONSETS.frame_rate)
    usual = F.avg_pool1d(rise[:, None], 2 * half + 1, 1, half, count_include_pad=False)[:, 0]
    return (rise - usual).clamp(min=0).numpy()


def tempos(sound: np.ndarray) -> np.ndarray:
    """Return beats a minute (B,), one of BEATS: the period after whose multiples onsets repeat best."""
    found = onsets(sound)
    found = found - found.mean(1, keepdims=True)
    length = found.shape[1]
    repeats = np.fft.irfft(np.abs(np.fft.rfft(found, 2 * length)) ** 2)[:, :length]
    repeats = repeats / (length - np.arange(length)).clip(length / 8)
    lags = 60 / BEATS * ONSETS.frame_rate
    score = np.zeros((len(found), len(BEATS)))
    for row, repeat in zip(score, repeats, strict=True):
        for times, counts in TIMES.items():
            row += counts * np.interp(times * lags, np.arange(length), repeat, right=0.0)
    return BEATS[(score * np.exp(-0.5 * (np.log2(BEATS / 100) / 0.9) ** 2)).argmax(1)]


def same_tempo(heard: np.ndarray, wanted: np.ndarray, within: float = 0.05) -> np.ndarray:
    """Tell whether tempos are the same (B,), or one twice the other: no ear can tell which of these is the beat."""
    return np.min([np.abs(heard * times / wanted - 1) for times in (0.5, 1, 2)], axis=0) < within


@cache
def basic_pitch() -> Any:
    """Return the network of basic-pitch (Bittner et al. 2022). Raises ModuleNotFoundError without its packages."""
    found, runtime = find_spec("basic_pitch"), find_spec("onnxruntime")
    if found is None or found.origin is None or runtime is None:
        raise ModuleNotFoundError(
            "the judge of keys hears with basic-pitch: pip install onnxruntime, and pip install --no-deps "
            "basic-pitch==0.4.0"
        )
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(str(Path(found.origin).parent / "saved_models" / "icassp_2022" / "nmp.onnx"), options)


def heard_notes(sound: np.ndarray) -> list[np.ndarray]:
    """Return how surely each of 88 keys sounds, (hops, 88) a clip."""
    network, rows = basic_pitch(), []
    notes = "StatefulPartitionedCall:1"  # beside onsets and contours
    for clip in resample_poly(sound, NOTES_RATE, SAMPLE_RATE, axis=-1).astype(np.float32):
        clip = np.pad(clip / max(1e-6, np.abs(clip).max()), (0, -len(clip) % NOTES_WINDOW))
        windows = clip.reshape(-1, NOTES_WINDOW, 1)
        rows.append(network.run([notes], {network.get_inputs()[0].name: windows})[0].reshape(-1, 88))
    return rows


def chroma(notes: np.ndarray) -> np.ndarray:
    """Return how much there is of each of the twelve tones from C on, (12,), of notes (hops, 88)."""
    sure = np.where(notes > CLEAR, notes, 0.0)
    opening = round(OPENING[0] / NOTES_WINDOW * NOTES_RATE * 172)  # 172 hops a window
    sure[:opening] *= OPENING[1]
    tones = (np.arange(88) + LOWEST_NOTE) % 12
    return np.bincount(tones, sure.sum(0), minlength=12)


def best_key(tones: np.ndarray) -> Key:
    """Return the key whose profile correlates best with how much there is of the twelve tones (12,)."""
    kinds = {False: MAJOR, True: MINOR}
    keys = [Key(tonic, minor) for minor in kinds for tonic in range(12)]
    table = np.stack([np.roll(kinds[key.minor], key.tonic) for key in keys])
    table = table - table.mean(1, keepdims=True)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return keys[int((table @ (tones - tones.mean())).argmax())]


def keys(sound: np.ndarray) -> list[Key]:
    """Return the key of each clip."""
    return [best_key(chroma(notes)) for notes in heard_notes(sound)]
