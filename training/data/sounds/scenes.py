"""Clips put together from single sounds: one kind of sound from beginning to end, or several one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from .sounds import SOUNDS

FADE = 0.25
"""Seconds in which what still rings is faded out when its part of the clip is over."""


@dataclass(frozen=True)
class Note:
    """One sound in a clip: its kind, which recording of it, when it begins (s), its gain, and when it is to be over."""

    sound: int
    recording: int
    begins: float
    gain: float
    ends: float


def notes(order: Sequence[int], recordings: Sequence[int], seconds: float, chance: Random) -> list[Note]:
    """Return the notes of a clip in which each of `order` has an equal part of the time, repeated at its own pace.

    `recordings` are how many each sound of SOUNDS has.
    """
    found = []
    part, loud = seconds / len(order), chance.uniform(0.5, 1.0)
    for n, sound in enumerate(order):
        pace = chance.uniform(*SOUNDS[sound].gap)
        now, over = n * part + chance.uniform(0.0, min(0.2, pace)), (n + 1) * part
        while now < over - 0.1:
            take = chance.randrange(recordings[sound])
            found.append(
                Note(sound, take, now, loud * chance.uniform(0.7, 1.0), over if n + 1 < len(order) else seconds)
            )
            now += pace * chance.uniform(0.92, 1.08)
    return found


def envelope(note: Note, rate: float, length: int, fade: float = FADE) -> np.ndarray:
    """Return the gain (length,) of a note at `rate` values a second from its beginning on: one, then faded out."""
    left = (note.ends - note.begins) * rate
    return note.gain * np.clip((left - np.arange(length)) / (fade * rate) + 1, 0.0, 1.0).astype(np.float32)


def mixed(
    order: Sequence[Note], recording: Callable[[Note], np.ndarray], rate: int, seconds: float, fade: float = FADE
) -> np.ndarray:
    """Return the sound (samples,) float32 of notes, each with its recording (samples,), at most 1 loud."""
    out = np.zeros(round(seconds * rate), np.float32)
    for note in order:
        begin, played = round(note.begins * rate), recording(note)
        played = (played * envelope(note, rate, len(played), fade))[: len(out) - begin]
        out[begin : begin + len(played)] += played
    return out / max(1.0, float(np.abs(out).max()))
