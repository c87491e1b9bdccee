"""Captions of the concepts in all their forms, and what each one shows."""

import random
from dataclasses import dataclass

from .concepts import BACKGROUND, COLOURS, LEFT_OF, background_caption


@dataclass(frozen=True)
class Caption:
    """A prompt and what it shows: one concept or two (left, right), by number, and a background (-1: white)."""

    text: str
    concepts: tuple[int, ...]
    colour: int = -1


class Captions:
    """Draws captions of the concept table (concepts.json); held-out concept–language pairs never come out."""

    def __init__(self, table: dict):
        self.emoji, self.words = table["emoji"], table["words"]
        held = {tuple(pair) for pair in table["held_out"]}
        self.languages = [[x for x in table["languages"] if (e, x) not in held] for e in self.emoji]

    def draw(self, kind: str, chance: random.Random) -> Caption:
        """Return a random caption of a kind: "single", "background" or "pair"."""
        concept = chance.randrange(len(self.emoji))
        if kind == "single":
            return Caption(self.single(concept, chance), (concept,))
        if kind == "background":
            colour = chance.randrange(len(COLOURS))
            language = chance.choice([x for x in self.languages[concept] if x in BACKGROUND])
            name = self.name(concept, language, chance)
            return Caption(background_caption(language, name, colour), (concept,), colour)
        if kind == "pair":
            other = chance.choice([i for i in range(len(self.emoji)) if i != concept])
            return Caption(self.pair(concept, other, chance), (concept, other))
        raise ValueError(f"kind of caption must be single, background or pair, got {kind!r}")

    def single(self, concept: int, chance: random.Random) -> str:
        """Return the emoji itself, its name, or two to four of its keywords, in a random language."""
        emoji = self.emoji[concept]
        language, form = chance.choice(self.languages[concept]), chance.random()
        name, *keywords = self.words[emoji][language]
        if form < 0.12:
            return emoji
        if form < 0.75 or len(keywords) < 2:
            return f"a {name}" if language == "en" and form < 0.2 else name
        return ", ".join(chance.sample(keywords, min(len(keywords), chance.randint(2, 4))))

    def name(self, concept: int, language: str, chance: random.Random) -> str:
        """Return a concept's name, or sometimes the emoji."""
        emoji = self.emoji[concept]
        return emoji if chance.random() < 0.1 else self.words[emoji][language][0]

    def pair(self, left: int, right: int, chance: random.Random) -> str:
        """Return a caption of two concepts side by side in one of the languages of LEFT_OF."""
        shared = [x for x in LEFT_OF if x == "emoji" or (x in self.languages[left] and x in self.languages[right])]
        language = chance.choices(shared, [3 if x == "en" else 1 for x in shared])[0]
        names = [
            self.emoji[i] if language == "emoji" else self.words[self.emoji[i]][language][0] for i in (left, right)
        ]
        return chance.choice(LEFT_OF[language]).format(a=names[0], b=names[1])
