"""Pictures of the demo's emoji, one or two in a place, with captions of one length a batch.

Core's network takes no mask for its text, so that texts of several lengths cannot share a call.
"""

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ...training.data.batches import EMPTY, Batch, load
from ...training.data.emoji.pack import pack_demo

SIDES = {"{a} on the left": (0.0, 0.0), "{a} on the right": (0.0, 1.0)}
ENDS = {"{a} at the top": (0.0, 0.0), "{a} at the bottom": (1.0, 0.0)}


@dataclass(frozen=True, eq=False)
class Canvas:
    """A size in parts of the training size, its share among those of its kind, and how often which captions."""

    rows: int
    columns: int
    share: float
    captions: dict[str, float]


SQUARE = Canvas(1, 1, 1.0, {"{a}": 0.6, "a {a}": 0.15, "emoji": 0.1, "small {a}": 0.15})
FOR_TWO = (
    Canvas(1, 2, 0.64, {"{a} left of {b}": 0.45, "{b} right of {a}": 0.1, "{a}": 0.15, **dict.fromkeys(SIDES, 0.15)}),
    Canvas(2, 1, 0.36, {"{a} above {b}": 0.45, "{b} below {a}": 0.1, "{a}": 0.15, **dict.fromkeys(ENDS, 0.15)}),
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

    Of the options, `known` concepts are taken, evenly spread as the judge's prompts are, and `two` is the share of
    canvases for two pictures. `count` says how many tokens a caption has. Without `cache` the pictures are those of
    demo/, which takes no download. They are put together on the options' `device`.
    """

    def __init__(self, options: argparse.Namespace, patch: int, count: Callable[[str], int]):
        self.options, self.patch, self.count, self.side = options, patch, count, options.train_pixels
        sizes = {self.side // 2, self.side}
        if options.cache is not None:
            table, pictures = load(options.cache, sizes)
        else:
            with TemporaryDirectory() as folder:
                pack_demo(packed := Path(folder) / "demo.npz", tuple(sizes))
                table, pictures = load(packed, sizes)
        self.pictures = {size: torch.from_numpy(drawn).to(options.device).float() for size, drawn in pictures.items()}
        every = len(table["emoji"])
        self.concepts = [i * every // options.known for i in range(options.known)]
        self.names = {i: table["words"][table["emoji"][i]]["en"][0] for i in self.concepts}
        self.emoji = {i: table["emoji"][i] for i in self.concepts}
        self.canvases = {SQUARE: 1 - options.two, **{canvas: options.two * canvas.share for canvas in FOR_TWO}}

    def draw(self, step: int, spent: float) -> Batch:
        """Return the batch of a step."""
        chance = random.Random(f"{self.options.seed} {step}")
        canvas = chance.choices(list(self.canvases), list(self.canvases.values()))[0]
        size = canvas.rows * self.side, canvas.columns * self.side
        wanted = max(2, round(self.options.tokens * self.patch**2 / (size[0] * size[1])))
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
            down, along = (SIDES | ENDS).get(caption, (0.5, 0.5))
            parts = [Placed(a, side, round(down * below), round(along * beside))]
        return Drawing(text, tuple(parts))

    def compose(self, drawings: list[Drawing], size: tuple[int, int]) -> Tensor:
        """Lay pictures on white as drawings say → (B, 3, H, W) float32 in [-1, 1]."""
        out = torch.full((len(drawings), *size, 3), 255.0, device=self.options.device)
        for canvas, drawing in zip(out, drawings, strict=True):
            for part in drawing.parts:
                drawn = self.pictures[part.size][part.concept]
                alpha = drawn[..., 3:] / 255
                place = canvas[part.top : part.top + part.size, part.left : part.left + part.size]
                place.copy_((drawn[..., :3] * alpha + 255.0 * (1 - alpha)).round())
        return out.permute(0, 3, 1, 2) / 127.5 - 1
