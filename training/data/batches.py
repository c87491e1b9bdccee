"""Batches of the demo data: which size at which step, pictures and captions, all decided by the step's number."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .emoji.captions import Captions
from .emoji.concepts import COLOURS
from .emoji.pictures import WHITE, canvas, on_background, to_tensor

TRAIN_PIXELS = 64
EMPTY = 0.1  # part of the captions that become the empty prompt, for classifier-free guidance


@dataclass(frozen=True)
class Bucket:
    """One size in a run: (height, width) and picture size in px, share of the steps, from where to where of the run."""

    height: int
    width: int
    picture: int
    share: float
    begins: float = 0.0
    ends: float = 1.0

    def positions(self, patch: int) -> tuple[Tensor, Tensor]:
        """Return the RoPE positions of rows and columns: patches of any size lie where those of TRAIN_PIXELS do.

        Large pictures so have interpolated positions (paper section 2.3), small ones have gaps between them.
        """
        stride = TRAIN_PIXELS / self.picture
        return torch.arange(self.height // patch) * stride, torch.arange(self.width // patch) * stride

    def batch(self, tokens: int, patch: int) -> int:
        """Return how many pictures have about `tokens` tokens together."""
        return max(1, round(tokens / (self.height * self.width / patch**2)))


BUCKETS = (
    # what is what and which is where, from pictures that cost a quarter
    Bucket(32, 32, 32, 0.55, ends=0.22),
    Bucket(32, 64, 32, 0.30, ends=0.22),
    Bucket(32, 64, 32, 0.07, begins=0.22),
    Bucket(64, 64, 64, 0.68, begins=0.2),
    Bucket(64, 128, 64, 0.18, begins=0.22),
    Bucket(96, 96, 96, 0.07, begins=0.5),
    # steep edges where tokens lie closer than in the others
    Bucket(128, 128, 128, 0.25, begins=0.55),
)


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, H, W) in [-1, 1], their prompts, and the RoPE positions of rows and columns."""

    pictures: Tensor
    prompts: list[str]
    positions: tuple[Tensor, Tensor] | None = None


class EmojiBatches:
    """Draws batches of the prepared demo data; batch n is the same in every run with the same seed."""

    def __init__(self, cache: Path, tokens: int, patch: int, seed: int = 0, buckets: tuple[Bucket, ...] = BUCKETS):
        self.captions = Captions(json.loads((cache / "concepts.json").read_text("utf-8")))
        self.pictures = {b.picture: np.load(cache / f"pictures-{b.picture}.npy") for b in buckets}
        self.tokens, self.patch, self.seed, self.buckets = tokens, patch, seed, buckets

    def draw(self, step: int, spent: float) -> Batch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        chance = random.Random(f"{self.seed} {step}")
        open_now = [b for b in self.buckets if b.begins <= spent <= b.ends] or list(self.buckets)
        bucket = chance.choices(open_now, [b.share for b in open_now])[0]
        items = [self.item(bucket, chance) for _ in range(bucket.batch(self.tokens, self.patch))]
        prompts = ["" if chance.random() < EMPTY else text for _, text in items]
        return Batch(to_tensor([picture for picture, _ in items]), prompts, bucket.positions(self.patch))

    def item(self, bucket: Bucket, chance: random.Random) -> tuple[np.ndarray, str]:
        """Return one RGB uint8 picture (H, W, 3) and its caption."""
        wide = bucket.width > bucket.height
        kind = ("pair" if wide else "background") if chance.random() < (0.75 if wide else 0.2) else "single"
        caption = self.captions.draw(kind, chance)
        colour = WHITE if caption.colour < 0 else list(COLOURS.values())[caption.colour]
        drawn = [on_background(self.pictures[bucket.picture][i], colour) for i in caption.concepts]
        return canvas(drawn, bucket.height, bucket.width), caption.text
