"""Test pictures: drawings of the style that training never saw, on white, in any size and shape."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...training.data.emoji.pictures import on_background, to_tensor
from ...training.data.recognition import prepare
from ...training.data.recognition.styles import HELD_OUT

TRAINED = 64
SIZES = (*prepare.SIZES, prepare.TEST_SIZE)


class Scenes:
    """The drawings of a style; an object is as large as the shorter side, and stands anywhere along the longer one."""

    def __init__(self, cache: Path, style: str = HELD_OUT):
        have = prepare.load(cache)[1][style]
        self.labels = have
        self.drawn = {
            size: prepare.pictures(cache, style, size) for size in SIZES if size < SIZES[-1] or style == HELD_OUT
        }

    def draw(self, height: int, width: int, which: Sequence[int]) -> Tensor:
        """Return pictures (N, 3, height, width) in [-1, 1] of labels."""
        side = min(height, width)
        stored = self.drawn[min((s for s in self.drawn if s >= side), default=max(self.drawn))]
        canvases = np.full((len(which), height, width, 3), 255, np.uint8)
        for canvas, label in zip(canvases, which, strict=True):
            drawing = np.asarray(Image.fromarray(stored[label]).resize((side, side), Image.Resampling.LANCZOS))
            shift = random.Random(f"{label} {height} {width}").randint(0, max(height, width) - side)
            top, left = (shift, 0) if height > width else (0, shift)
            canvas[top : top + side, left : left + side] = on_background(drawing)
        return to_tensor(list(canvases))

    def some(self, count: int) -> list[int]:
        """Return this many labels, evenly spread, or all."""
        every = len(self.labels)
        return [self.labels[i * every // min(count, every)] for i in range(min(count, every))]


def squeezed(pictures: Tensor, side: int = TRAINED) -> Tensor:
    """Return pictures (N, 3, H, W) resized to the squares of training, whatever their shape."""
    return F.interpolate(pictures, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
