"""Captions of tunes: who plays, in which key, how fast, and in which mood, in several languages."""

from dataclasses import dataclass
from random import Random

from ..sounds.captions import is_held_out
from ..sounds.words import LANGUAGES, NAMES
from .instruments import INSTRUMENTS
from .tunes import KEYS, TEMPOS, Key
from .words import BRIEF, ENGLISH, MOODY, key_name, mood


@dataclass(frozen=True)
class Piece:
    """What a tune is: one of INSTRUMENTS by its number, its key, and its tempo in beats a minute."""

    instrument: int
    key: Key
    bpm: int

    @property
    def is_held_out(self) -> bool:
        """Whether training must never hear this instrument in this key."""
        return is_held_out(INSTRUMENTS[self.instrument].name, "plays in", key_name(self.key))

    def write(self, form: str, language: str = "en", name: int = 0) -> str:
        """Return a caption; `form` has any of {name}, {key}, {bpm} and {mood}, `name` is which of the names."""
        names = NAMES[language][INSTRUMENTS[self.instrument].number]
        feeling = mood(self.key, self.bpm, language) or ""
        key = key_name(self.key, language)
        return form.format(name=names[name % len(names)], key=key, bpm=self.bpm, mood=feeling)


def draw_piece(chance: Random) -> Piece:
    """Return a piece that is not held out."""
    while True:
        found = Piece(chance.randrange(len(INSTRUMENTS)), chance.choice(KEYS), chance.choice(TEMPOS))
        if not found.is_held_out:
            return found


def languages(instrument: int) -> list[str]:
    """Return the languages in which training has an instrument's name."""
    name = INSTRUMENTS[instrument].name
    return [x for x in LANGUAGES if x == "en" or not is_held_out(name, x)]


def draw_caption(piece: Piece, chance: Random) -> str:
    """Return a random caption of a piece."""
    moody = mood(piece.key, piece.bpm) is not None and chance.random() < 0.35
    if chance.random() < 0.5:
        brief = chance.random() < 0.15
        return piece.write(chance.choice(BRIEF if brief else MOODY if moody else ENGLISH))
    language = chance.choice(languages(piece.instrument))
    form = "{mood}, {name}, {key}, {bpm} bpm" if moody else "{name}, {key}, {bpm} bpm"
    return piece.write(form, language, chance.randrange(2))
