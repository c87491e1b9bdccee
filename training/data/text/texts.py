"""Captions for the text encoder's training, and what they mean among all the emoji that CLDR names."""

import math
import random

import torch
from torch import Tensor

from ..emoji.captions import Caption, Captions


class Texts:
    """Training captions: the demo's own in all their forms, mixed with every other emoji and language that CLDR has."""

    def __init__(self, table: dict, corpus: list):
        self.captions = Captions(table)
        others = sorted({row[0] for row in corpus} - set(table["emoji"]))
        self.number = {e: i for i, e in enumerate([*table["emoji"], *others])}
        self.rows = [row for row in corpus if row[0] not in self.captions.words]
        # the demo's own concepts in languages that it does not claim
        self.related = [row for row in corpus if row[0] in self.captions.words and row[1] not in table["languages"]]
        self.meanings: dict[tuple[str, str], set[int]] = {}
        for emoji, language, words in corpus:
            for word in words:
                self.meanings.setdefault((language, word.casefold()), set()).add(self.number[emoji])

    def names(self, language: str) -> list[str]:
        """Return the name of every emoji in a language, by number; the emoji itself where it has none there."""
        known = {emoji: dict(self.captions.words.get(emoji, {})) for emoji in self.number}
        for emoji, spoken, words in self.rows:
            known[emoji][spoken] = words
        return [known[emoji].get(language, [emoji])[0] for emoji in self.number]

    def draw(self, chance: random.Random) -> tuple[Caption, set[int], bool]:
        """Return a caption, the emoji that it may mean, and whether it is one of the demo's own."""
        form = chance.random()
        if form < 0.4:
            kind = "single" if form < 0.2 else "background" if form < 0.3 else "pair"
            caption = self.captions.draw(kind, chance)
            return caption, {caption.concepts[0]}, True
        emoji, language, words = chance.choice(self.related if form < 0.75 and self.related else self.rows)
        chosen = words[:1] if chance.random() < 0.4 else chance.sample(words, min(len(words), chance.randint(1, 3)))
        meant = set.intersection(*(self.meanings[language, word.casefold()] for word in chosen))
        return Caption(", ".join(chosen), (self.number[emoji],)), meant, False

    def likeness(self, neighbours: int = 8) -> Tensor:
        """Return how alike emoji are by the words they share in any language: rows of weights (N, N) that add up to 1.

        Only the nearest count. It is what lets a word that one language has only for an astronaut mean a rocket, too.
        """
        words = list(self.meanings.values())
        entries = torch.tensor([(emoji, i) for i, group in enumerate(words) for emoji in group]).T
        rarity = torch.tensor([1.0 + math.log(len(self.number) / len(group)) for group in words])
        weights = rarity[entries[1]]
        length = torch.zeros(len(self.number)).index_add(0, entries[0], weights**2).sqrt()
        size = (len(self.number), len(words))
        vectors = torch.sparse_coo_tensor(entries, weights / length[entries[0]], size)
        alike = torch.sparse.mm(vectors, vectors.T).to_dense().fill_diagonal_(0)
        nearest = alike.topk(min(neighbours, len(alike)))
        rows = torch.zeros_like(alike).scatter_(1, nearest.indices, nearest.values)
        return rows / rows.sum(1, keepdim=True).clamp(min=1e-6)

    def targets(self, meant: list[set[int]], alike: Tensor, share: float = 0.3) -> Tensor:
        """Return the probabilities of the first concept (B, N + 1): those meant evenly, `share` of it to their like."""
        even = torch.zeros(len(meant), len(alike))
        for row, numbers in zip(even, meant, strict=True):
            row[list(numbers)] = 1 / len(numbers)
        mixed = (1 - share) * even + share * even @ alike
        return torch.nn.functional.pad(mixed, (0, 1))  # the last is none: there always is a first
