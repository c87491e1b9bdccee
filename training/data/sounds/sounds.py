"""The sounds: who plays them, on which keys, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

DRUMS = 128
"""The bank of the drums, where every key is an instrument."""


@dataclass(frozen=True)
class Sound:
    """One kind of sound: its preset, its keys, seconds that a key is held, and seconds from one to the next."""

    name: str
    bank: int
    program: int
    keys: tuple[int, ...]
    hold: tuple[float, float]
    gap: tuple[float, float]

    @property
    def is_drum(self) -> bool:
        return self.bank == DRUMS

    @property
    def is_effect(self) -> bool:
        """Whether it is one of General Standard's effects, which General MIDI has not."""
        return 0 < self.bank < DRUMS

    @property
    def share(self) -> int:
        """How many times as often as a drum or an effect a sound is drawn: programs differ by less, and by key."""
        return 2 if self.bank == 0 else 1


Span = tuple[float, float]


def program(name: str, number: int, keys: Sequence[int], hold: Span, gap: Span) -> Sound:
    """Return a sound of General MIDI's programs, counted from 0."""
    return Sound(name, 0, number, tuple(keys), hold, gap)


def drum(name: str, keys: Sequence[int], hold: Span, gap: Span) -> Sound:
    """Return a sound of General MIDI's drums."""
    return Sound(name, DRUMS, 0, tuple(keys), hold, gap)


def effect(name: str, bank: int, number: int, keys: Sequence[int], hold: Span, gap: Span) -> Sound:
    """Return a sound of General Standard's effects."""
    return Sound(name, bank, number, tuple(keys), hold, gap)


SOUNDS = (
    program("piano", 0, range(55, 81), (0.3, 1.0), (0.3, 0.8)),
    program("glockenspiel", 9, range(75, 97), (0.6, 0.6), (0.25, 0.6)),
    program("music box", 10, range(70, 93), (0.5, 0.8), (0.25, 0.6)),
    program("marimba", 12, range(50, 76), (0.4, 0.4), (0.2, 0.5)),
    program("church bell", 14, range(55, 76), (1.0, 1.8), (0.6, 1.4)),
    program("church organ", 19, range(48, 77), (0.6, 1.2), (0.6, 1.2)),
    program("bass guitar", 33, range(28, 49), (0.3, 0.8), (0.25, 0.6)),
    program("harp", 46, range(50, 83), (0.5, 1.0), (0.25, 0.6)),
    program("timpani", 47, range(36, 53), (0.5, 1.0), (0.4, 1.0)),
    program("strings", 48, range(48, 77), (0.8, 1.4), (0.8, 1.3)),
    program("choir", 52, range(50, 75), (0.8, 1.4), (0.8, 1.3)),
    program("trumpet", 56, range(55, 81), (0.3, 0.9), (0.3, 0.9)),
    program("trombone", 57, range(45, 66), (0.3, 0.9), (0.3, 0.9)),
    program("tuba", 58, range(29, 49), (0.3, 0.8), (0.3, 0.8)),
    program("saxophone", 66, range(48, 71), (0.4, 1.0), (0.4, 1.0)),
    program("flute", 73, range(62, 87), (0.4, 1.0), (0.4, 1.0)),
    program("banjo", 105, range(50, 73), (0.3, 0.6), (0.2, 0.5)),
    program("bagpipe", 109, range(58, 75), (0.6, 1.2), (0.6, 1.2)),
    program("kalimba", 108, range(60, 85), (0.4, 0.6), (0.2, 0.5)),
    program("taiko drum", 116, range(45, 63), (0.5, 0.8), (0.4, 0.9)),
    program("guitar", 25, range(45, 73), (0.4, 1.0), (0.3, 0.8)),
    program("violin", 40, range(55, 81), (0.5, 1.2), (0.5, 1.2)),
    program("telephone", 124, range(58, 67), (1.0, 1.4), (1.5, 2.0)),
    program("helicopter", 125, range(57, 65), (2.0, 2.2), (1.6, 2.0)),
    program("gunshot", 127, range(57, 65), (0.5, 0.9), (0.6, 1.4)),
    program("sea waves", 122, range(57, 65), (2.0, 2.4), (1.8, 2.2)),
    program("applause", 126, range(57, 65), (2.0, 2.2), (1.6, 2.0)),
    program("bird song", 123, range(57, 67), (1.0, 1.5), (0.8, 1.5)),
    drum("snare drum", (38, 40), (0.2, 0.2), (0.25, 0.6)),
    drum("hand clap", (39,), (0.2, 0.2), (0.25, 0.7)),
    drum("crash cymbal", (49, 57), (1.5, 2.0), (0.8, 1.6)),
    drum("tambourine", (54,), (0.2, 0.2), (0.25, 0.7)),
    drum("bongo", (60, 61), (0.3, 0.3), (0.2, 0.5)),
    drum("conga", (62, 63, 64), (0.4, 0.4), (0.25, 0.6)),
    drum("claves", (75,), (0.2, 0.2), (0.25, 0.7)),
    drum("wood block", (76, 77), (0.2, 0.2), (0.25, 0.6)),
    drum("guiro", (73, 74), (0.5, 0.5), (0.4, 0.8)),
    drum("whistle", (71, 72), (0.2, 0.7), (0.4, 1.0)),
    effect("dog bark", 1, 123, range(58, 64), (0.6, 1.0), (0.5, 1.1)),
    effect("horse gallop", 2, 123, range(58, 64), (2.0, 2.4), (1.8, 2.2)),
    effect("laughter", 1, 126, range(58, 64), (2.0, 2.4), (1.8, 2.3)),
    effect("heartbeat", 4, 126, range(58, 64), (1.0, 1.5), (1.0, 1.5)),
    effect("screeching tyres", 2, 125, range(58, 64), (1.5, 2.0), (1.6, 2.2)),
    effect("car crash", 4, 125, range(58, 64), (1.5, 2.0), (1.5, 2.0)),
    effect("laser gun", 2, 127, range(58, 64), (0.5, 0.8), (0.5, 1.0)),
    effect("bubbles", 5, 122, range(58, 64), (1.5, 2.0), (1.5, 2.0)),
    effect("rain", 1, 122, range(58, 64), (2.0, 2.4), (1.6, 2.0)),
    effect("thunder", 2, 122, range(58, 64), (2.0, 2.4), (1.6, 2.3)),
    effect("siren", 5, 125, range(58, 64), (2.0, 2.4), (1.8, 2.2)),
    effect("train", 6, 125, range(58, 64), (2.0, 2.4), (1.8, 2.2)),
)
"""What there is to hear, in an order that data files keep."""
