"""Captions of sounds, and of several one after the other: in some of the demo's languages, and structured ones."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from random import Random

from .sounds import SOUNDS
from .words import EMOJI, LANGUAGES, NAMES, UNCOUNTED

HELD_OUT = 0.1
SHARES = [sound.share for sound in SOUNDS]
PLACES = {1: ("all",), 2: ("start", "end"), 3: ("start", "mid", "end")}
"""How many sounds → where each is, as structured captions say it (Make-An-Audio 2, section 3.2)."""

ENGLISH = ("{a}", "{a}", "the sound of {a}", "{n} sound")
"""Plain captions of one sound: {a} has its article, {n} has not."""
UNSEEN = ("I can hear {a}", "a recording of {a}", "{a} in the distance")
"""Such as training never has, for judging."""
THEN = {
    "en": ("{a}, then {b}", "{a} followed by {b}", "{a} and then {b}", "{b} after {a}"),
    "de": ("{a}, dann {b}", "{b} nach {a}"),
    "fr": ("{a}, puis {b}", "{b} après {a}"),
    "es": ("{a}, luego {b}", "{b} después de {a}"),
    "it": ("{a}, poi {b}", "{b} dopo {a}"),
    "pt": ("{a}, depois {b}",),
    "ru": ("{a}, потом {b}", "{a}, затем {b}"),
    "ja": ("{a}、それから{b}", "{a}のあとに{b}"),
    "zh": ("{a}，然后{b}", "先是{a}，再是{b}"),
    "ko": ("{a}, 그다음 {b}", "{a} 다음에 {b}"),
}
"""Language → captions of two sounds of which a comes first; more are strung together by the first."""


def is_held_out(*parts: str) -> bool:
    """Tell whether training must never see a sound's name in a language, or two sounds in this order."""
    digest = hashlib.sha256(" ".join(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT


def pair_is_held_out(order: Sequence[int]) -> bool:
    """Tell whether any two neighbours of an order of sounds are held out."""
    return any(is_held_out(SOUNDS[a].name, "then", SOUNDS[b].name) for a, b in pairwise(order))


def with_article(sound: int) -> str:
    """Return the English name of a sound as it stands in a sentence."""
    name = SOUNDS[sound].name
    return name if name in UNCOUNTED else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def structured(order: Sequence[int]) -> str:
    """Return the structured caption of one to three sounds: each with its part of the time."""
    return "@".join(f"<{SOUNDS[n].name}& {place}>" for n, place in zip(order, PLACES[len(order)], strict=True))


class Captions:
    """Draws sounds and captions; nothing held out ever comes out."""

    def __init__(self) -> None:
        self.languages = [[x for x in LANGUAGES if x == "en" or not is_held_out(sound.name, x)] for sound in SOUNDS]

    def order(self, count: int, chance: Random) -> list[int]:
        """Return `count` different sounds."""
        while True:
            found = chance.choices(range(len(SOUNDS)), SHARES, k=count)
            if len(set(found)) == count and not pair_is_held_out(found):
                return found

    def draw(self, order: Sequence[int], chance: Random) -> str:
        """Return a random caption of sounds in this order."""
        if chance.random() < 0.25:
            return structured(order)
        return self.single(order[0], chance) if len(order) == 1 else self.row(order, chance)

    def single(self, sound: int, chance: Random) -> str:
        """Return a plain caption of one sound: the emoji, an English phrase, or its name in a language."""
        form = chance.random()
        if form < 0.08 and sound in EMOJI:
            return chance.choice(EMOJI[sound])
        if form < 0.5:
            return chance.choice(ENGLISH).format(a=with_article(sound), n=SOUNDS[sound].name)
        return chance.choice(NAMES[chance.choice(self.languages[sound])][sound])

    def row(self, order: Sequence[int], chance: Random) -> str:
        """Return a plain caption of sounds one after the other."""
        shared = [x for x in LANGUAGES if all(x in self.languages[sound] for sound in order)]
        language = "en" if chance.random() < 0.4 else chance.choice(shared)
        if language == "en":
            names = [with_article(n) if chance.random() < 0.7 else SOUNDS[n].name for n in order]
        else:
            names = [chance.choice(NAMES[language][n]) for n in order]
        if len(order) == 2:
            return chance.choice(THEN[language]).format(a=names[0], b=names[1])
        first, *rest = names
        for name in rest:
            first = THEN[language][0].format(a=first, b=name)
        return first
