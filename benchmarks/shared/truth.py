"""The true pictures of the demo's concepts, from the sheets in demo/pictures/, without npm or an SVG renderer."""

import json
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...training.data.emoji.concepts import COLOURS
from ...training.data.emoji.pictures import WHITE, on_background, to_tensor

DEMO = Path(__file__).parents[2] / "demo"
SIZES = (64, 96, 128, 256)


class Truth:
    """The concept table of demo/ and its pictures; concepts go by number.

    Pictures of emoji that were not trained ("others") follow those of the concepts: identity is judged among all.
    A checkpoint that was trained on fewer knows `known` of the concepts, evenly spread, by English name and emoji.
    """

    def __init__(self, folder: Path = DEMO, known: int = 0):
        self.folder, self.known = folder, known
        self.table = json.loads((folder / "concepts.json").read_text("utf-8"))
        self.emoji: list[str] = self.table["emoji"]
        self.count = len(self.emoji) + len(self.table.get("others", ()))

    @property
    def concepts(self) -> list[int]:
        """The concepts that can be asked for."""
        every = len(self.emoji)
        known = self.known or every
        return [i * every // known for i in range(known)]

    @property
    def languages(self) -> list[str]:
        """The languages that they can be asked for in."""
        return ["en"] if self.known else self.table["languages"]

    @cached_property
    def held_out(self) -> set[tuple[str, str]]:
        return {(emoji, language) for emoji, language in self.table["held_out"]}

    def name(self, concept: int, language: str) -> str:
        """Return a concept's name, or the emoji itself for the language "emoji"."""
        emoji = self.emoji[concept]
        return emoji if language == "emoji" else self.table["words"][emoji][language][0]

    def prompts(self, count: int) -> tuple[list[str], list[int]]:
        """Return this many prompts and their concepts: names in English, evenly spread or all, then other languages'.

        Names that were held out in training are left out.
        """
        every = self.concepts
        if count <= len(every):
            concepts = [every[i * len(every) // count] for i in range(count)]
            return [self.name(i, "en") for i in concepts], concepts
        languages = ["en", "emoji", *(x for x in self.languages if x != "en")]
        pairs = [(i, x) for x in languages for i in every if (self.emoji[i], x) not in self.held_out][:count]
        return [self.name(i, x) for i, x in pairs], [i for i, _ in pairs]

    @lru_cache(maxsize=8)  # noqa: B019 (one Truth lives as long as the process)
    def rgba(self, size: int) -> np.ndarray:
        """Return all pictures (N, size, size, 4) uint8, resampled from the next larger sheet where none fits."""
        sheet = min((s for s in SIZES if s >= size), default=SIZES[-1])
        with Image.open(self.folder / "pictures" / f"{sheet}.png") as image:
            pixels = np.asarray(image.convert("RGBA"))
        tiles = pixels.reshape(-1, sheet, 8, sheet, 4).swapaxes(1, 2).reshape(-1, sheet, sheet, 4)[: self.count]
        if sheet == size:
            return tiles
        resized = [Image.fromarray(tile).resize((size, size), Image.Resampling.LANCZOS) for tile in tiles]
        return np.stack([np.asarray(tile) for tile in resized])

    @lru_cache(maxsize=16)  # noqa: B019
    def pictures(self, size: int, colour: int = -1) -> Tensor:
        """Return all pictures on a background (-1: white) as (N, 3, size, size) in [-1, 1]."""
        background = WHITE if colour < 0 else list(COLOURS.values())[colour]
        return to_tensor([on_background(picture, background) for picture in self.rgba(size)])

    def nearest(self, samples: Tensor, colour: int = -1) -> Tensor:
        """Return the number of the picture nearest in squared distance to each square sample (B, 3, S, S)."""
        true = self.pictures(samples.shape[-1], colour).flatten(1)
        return torch.cdist(samples.clamp(-1, 1).flatten(1).float(), true).argmin(1)
