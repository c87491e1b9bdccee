"""Tunes: a melody over chords, in a key and at a tempo, as notes on General MIDI's keys."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
TEMPOS = tuple(range(60, 161, 10))
"""Beats a minute."""
SLOT = 2
"""Beats of a chord."""
REACH = 12, 23
"""Semitones below and above an instrument's lowest tonic, between which its notes are."""
PITCHES = sum(REACH) + 1
MIDDLES = (0, 0, 3, 4, 4, 5)
"""Degrees of the chords that may stand between the first and the last, which are the tonic's."""


@dataclass(frozen=True, order=True)
class Key:
    """A tonic, semitones above C, and whether it is minor."""

    tonic: int
    minor: bool

    def chord(self, degree: int) -> tuple[int, ...]:
        """Return the triad on a degree (0 to 6), semitones above the tonic; the dominant has its leading tone."""
        scale = MINOR if self.minor else MAJOR
        triad = tuple(scale[(degree + n) % 7] for n in (0, 2, 4))
        return tuple(11 if self.minor and degree == 4 and tone == 10 else tone for tone in triad)


KEYS = tuple(Key(tonic, minor) for minor in (False, True) for tonic in range(12))


@dataclass(frozen=True)
class Tone:
    """One tone: its key, when it begins and ends (s), and how loud it is."""

    pitch: int
    begins: float
    ends: float
    gain: float


def tune(key: Key, bpm: float, seconds: float, low: int, chance: Random) -> list[Tone]:
    """Return the tones of a tune that fills so many seconds; its tonic is the first at `low` or above."""
    beat, home = 60 / bpm, low + (key.tonic - low) % 12
    chords = progression(key, math.ceil(seconds / beat / SLOT), chance)
    start, loud = chance.uniform(0.0, 0.08), chance.uniform(0.25, 0.5)
    lively, broken = chance.uniform(0.1, 0.6), chance.random() < 0.5
    found, pitch = [], home
    for slot, chord in enumerate(chords):
        now = start + slot * SLOT * beat
        found += accompaniment(chord, home, low, now, beat, broken)
        for n in range(SLOT):
            last = slot == len(chords) - 1 and n == SLOT - 1
            pitch = home if last or not (slot or n) else step(pitch, chord, home, chance)
            found += melody(key, pitch, home, now + n * beat, beat, not last and chance.random() < lively, chance)
    return [
        Tone(tone.pitch, tone.begins, tone.ends, loud * tone.gain * chance.uniform(0.85, 1.0))
        for tone in found
        if tone.begins < seconds - 0.1
    ]


def progression(key: Key, slots: int, chance: Random) -> list[tuple[int, ...]]:
    """Return a chord for each slot: the tonic's first and last, before that the dominant or subdominant."""
    degrees = [0, *(chance.choice(MIDDLES) for _ in range(slots - 3)), chance.choice((4, 4, 3)), 0]
    return [key.chord(degree) for degree in (degrees if slots > 2 else [0] * slots)]


def accompaniment(chord: Sequence[int], home: int, low: int, now: float, beat: float, broken: bool) -> list[Tone]:
    """Return the lower voices of a chord: its root for two beats, or for one and the others after it."""
    root, *others = (low - REACH[0] + (home + tone - low) % 12 for tone in chord)
    if not broken:
        return [Tone(root, now, now + SLOT * beat, 0.8)]
    return [Tone(root, now, now + beat, 0.8)] + [Tone(x, now + beat, now + 2 * beat, 0.5) for x in others]


def step(pitch: int, chord: Sequence[int], home: int, chance: Random) -> int:
    """Return a tone of the chord near a pitch, seldom the same again."""
    choices = [
        home + tone + octave for tone in chord for octave in (-12, 0, 12) if -5 <= tone + octave <= REACH[1] - 11
    ]
    return chance.choices(choices, [1 / (2 + abs(x - pitch)) if x != pitch else 0.15 for x in choices])[0]


def melody(key: Key, pitch: int, home: int, now: float, beat: float, split: bool, chance: Random) -> list[Tone]:
    """Return the upper voice of a beat: one tone, or two of which the second is a neighbour in the scale."""
    if not split:
        return [Tone(pitch, now, now + beat, 1.0)]
    scale = MINOR if key.minor else MAJOR
    near = [home + 12 * octave + tone for octave in (-1, 0, 1) for tone in scale]
    second = chance.choice([x for x in near if 0 < abs(x - pitch) <= 2 and -5 <= x - home <= 12] or [pitch])
    return [Tone(pitch, now, now + beat / 2, 1.0), Tone(second, now + beat / 2, now + beat, 0.8)]
