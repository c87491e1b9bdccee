"""Pictures of the demo's emoji, one or two in a place, with captions of one length a batch.

Core's network takes no mask for its text, so that texts of several lengths cannot share a call.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ...training.data.batches import EMPTY, Batch, load
from ...training.data.emoji.pack import pack_demo

PLACES = {"on the left": (0.0, 0.0), "on the right": (0.0, 1.0), "at the top": (0.0, 0.0), "at the bottom": (1.0, 0.0)}


@dataclass(frozen=True)
class Canvas:
    """A size in parts of the training size, its share of the steps and, in order, how often which captions."""

    rows: int
    columns: int
    share: float
    captions: dict[str, float]


CANVASES = (
    Canvas(1, 1, 0.62, {"{a}": 0.6, "a {a}": 0.15, "emoji": 0.1, "small {a}": 0.15}),
    Canvas(
        1,
        2,
        0.24,
        {
            "{a} left of {b}": 0.45,
            "{b} right of {a}": 0.1,
            "{a}": 0.15,
            "{a} on the left": 0.15,
            "{a} on the right": 0.15,
        },
    ),
    Canvas(
        2,
        1,
        0.14,
        {"{a} above {b}": 0.45, "{b} below {a}": 0.1, "{a}": 0.15, "{a} at the top": 0.15, "{a} at the bottom": 0.15},
    ),
)


@dataclass(frozen=True)
class Placed:
    """A picture of a concept, of `size` pixels, with its corner at (top, left)."""

    concept: int
    size: int
    top: int
    left: int


@dataclass(frozen=True)
class Drawing:
    """A caption and what it shows."""

    text: str
    parts: tuple[Placed, ...]


class JointBatches:
    """Draws batches; batch n is the same in every run with the same seed.

    `known` concepts are taken, evenly spread, as the judge's prompts are; `count` says how many tokens a caption has.
    Without `cache` the pictures are those of demo/, which takes no download.
    """

    def __init__(self, cache: Path | None, side: int, known: int, tokens: int, patch: int, seed: int, count: Callable):
        if cache is None:
            with TemporaryDirectory() as folder:
                pack_demo(packed := Path(folder) / "demo.npz", (side // 2, side))
                table, pictures = load(packed, {side // 2, side})
        else:
            table, pictures = load(cache, {side // 2, side})
        self.pictures = {size: torch.from_numpy(drawn).float() for size, drawn in pictures.items()}
        every = len(table["emoji"])
        self.concepts = [i * every // known for i in range(known)]
        self.names = {i: table["words"][table["emoji"][i]]["en"][0] for i in self.concepts}
        self.emoji = {i: table["emoji"][i] for i in self.concepts}
        self.side, self.tokens, self.patch, self.seed, self.count = side, tokens, patch, seed, count

    def draw(self, step: int, spent: float) -> Batch:
        """Return the batch of a step."""
        chance = random.Random(f"{self.seed} {step}")
        canvas = chance.choices(CANVASES, [c.share for c in CANVASES])[0]
        size = canvas.rows * self.side, canvas.columns * self.side
        wanted = max(2, round(self.tokens * self.patch**2 / (size[0] * size[1])))
        drawings = [self.drawing(canvas, chance)]
        length = self.count(drawings[0].text)  # so every caption is as frequent as without the condition
        while len(drawings) < wanted:
            if self.count((more := self.drawing(canvas, chance)).text) == length:
                drawings.append(more)
        return Batch(self.compose(drawings, size), [drawing.text for drawing in drawings])

    def drawing(self, canvas: Canvas, chance: random.Random) -> Drawing:
        """Return a random caption for a canvas, or an empty one, with what it shows."""
        caption = chance.choices(list(canvas.captions), list(canvas.captions.values()))[0]
        a, b = chance.sample(self.concepts, 2)
        side = self.side
        below, beside = (canvas.rows - 1) * side, (canvas.columns - 1) * side
        text = self.emoji[a] if caption == "emoji" else caption.format(a=self.names[a], b=self.names[b])
        text = "" if chance.random() < EMPTY else text
        if caption.startswith("small"):
            small = side // 2
            parts = [Placed(a, small, *(chance.randrange(0, side - small + 1) for _ in range(2)))]
        elif "{b}" in caption:
            parts = [Placed(a, side, 0, 0), Placed(b, side, below, beside)]
        else:
            down, along = next((place for words, place in PLACES.items() if caption.endswith(words)), (0.5, 0.5))
            parts = [Placed(a, side, round(down * below), round(along * beside))]
        return Drawing(text, tuple(parts))

    def compose(self, drawings: list[Drawing], size: tuple[int, int]) -> Tensor:
        """Lay pictures on white as drawings say → (B, 3, H, W) float32 in [-1, 1]."""
        out = torch.full((len(drawings), *size, 3), 255.0)
        for canvas, drawing in zip(out, drawings, strict=True):
            for part in drawing.parts:
                drawn = self.pictures[part.size][part.concept]
                alpha = drawn[..., 3:] / 255
                place = canvas[part.top : part.top + part.size, part.left : part.left + part.size]
                place.copy_((drawn[..., :3] * alpha + 255.0 * (1 - alpha)).round())
        return out.permute(0, 3, 1, 2) / 127.5 - 1
