"""The instruments that play tunes, of those among the sounds, and where their tonics begin."""

from dataclasses import dataclass

from ..sounds.sounds import SOUNDS, Sound


@dataclass(frozen=True)
class Instrument:
    """One of SOUNDS, by its number there, and its lowest tonic."""

    number: int
    low: int

    @property
    def sound(self) -> Sound:
        return SOUNDS[self.number]

    @property
    def name(self) -> str:
        return self.sound.name


_NUMBERS = {sound.name: n for n, sound in enumerate(SOUNDS)}
_LOW = {
    "piano": 62,
    "glockenspiel": 67,
    "music box": 72,
    "marimba": 62,
    "church organ": 60,
    "harp": 62,
    "strings": 62,
    "choir": 60,
    "trumpet": 62,
    "saxophone": 58,
    "flute": 69,
    "banjo": 62,
}

INSTRUMENTS = tuple(Instrument(_NUMBERS[name], low) for name, low in _LOW.items())
"""Who plays, in an order that data files keep."""
