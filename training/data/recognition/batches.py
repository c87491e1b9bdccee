"""Batches of labelled pictures of one size or of many, augmented as DeiT's were (arXiv 2012.12877), by timm."""

import random
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SMOOTHING = 0.1
LENGTHS = {64: 0.15, 128: 0.2, 256: 0.3, 512: 0.2, 1024: 0.15}
"""Patches of the longest picture of a batch of many sizes, and how often such a batch comes."""


class Source(Protocol):
    """Where labelled pictures come from."""

    labels: dict[str, list[str]]

    def __len__(self) -> int:
        """Return the number of labels."""

    def draw(self, label: int, size: tuple[int, int], chance: random.Random) -> Image.Image:
        """Return a picture of a label of (height, width) pixels."""


@dataclass(frozen=True)
class LabelledBatch:
    """Pictures (B, 3, H, W) or a list of (3, H, W) in [-1, 1], and what each shows: shares of labels (B, classes)."""

    pictures: Tensor | list[Tensor]
    targets: Tensor


class LabelledBatches:
    """Draws batches; the same for a seed and a step.

    `side` is that of squares in patches, of which `count` make a batch; with `any_size` pictures are of many sizes and
    shapes instead, `count·side²` patches together, none of more than `most`. Raises ImportError without timm, and
    ValueError where `most` allows no batch.
    """

    def __init__(
        self,
        source: Source,
        patch: int,
        side: int,
        count: int,
        seed: int,
        any_size: bool = False,
        most: int = max(LENGTHS),
    ):
        try:
            from timm.data.auto_augment import rand_augment_transform
            from timm.data.mixup import Mixup
            from timm.data.random_erasing import RandomErasing
        except ImportError as error:
            raise ImportError("timm augments the pictures: pip install timm") from error
        self.source, self.patch, self.side, self.count, self.seed = source, patch, side, count, seed
        self.any_size = any_size
        self.lengths = {length: often for length, often in LENGTHS.items() if length <= most}
        if not self.lengths:
            raise ValueError(f"pictures of {most} patches or fewer are too small to train on: allow {min(LENGTHS)}")
        self.augment = rand_augment_transform("rand-m7-mstd0.5-inc1", {"img_mean": (255, 255, 255)})
        self.erase = RandomErasing(0.15, mode="const", max_area=0.2, device="cpu")
        self.mix = Mixup(
            mixup_alpha=0.4, cutmix_alpha=1.0, prob=0.3, label_smoothing=SMOOTHING, num_classes=len(source)
        )

    def draw(self, step: int, spent: float) -> LabelledBatch:
        """Return the batch of a step."""
        del spent
        chance = random.Random(f"{self.seed} {step}")
        random.seed(f"timm {self.seed} {step}")  # timm draws from the modules' own generators
        np.random.seed(chance.getrandbits(32))
        grids = self.grids(chance)
        labels = torch.tensor([chance.randrange(len(self.source)) for _ in grids])
        pictures = [self.picture(int(label), grid, chance) for label, grid in zip(labels, grids, strict=True)]
        if self.any_size:
            return LabelledBatch(pictures, smoothed(labels, len(self.source)))
        mixed, targets = self.mix(torch.stack(pictures), labels)
        return LabelledBatch(mixed, targets)

    def grids(self, chance: random.Random) -> list[tuple[int, int]]:
        """Return the grids of a batch: all the same square, or of any shape, the longest of a length of LENGTHS."""
        if not self.any_size:
            return [(self.side, self.side)] * self.count
        length = chance.choices(list(self.lengths), list(self.lengths.values()))[0]
        count = max(4, round(self.count * self.side**2 / length))
        longest = (1 << (length.bit_length() - 1) // 2, 1 << length.bit_length() // 2)
        longest = (longest[0], length // longest[0])
        return [longest, *(shape(length, chance) for _ in range(count - 1))]

    def picture(self, label: int, grid: tuple[int, int], chance: random.Random) -> Tensor:
        """Return an augmented picture of a label, (3, H, W) in [-1, 1]."""
        drawn = self.augment(self.source.draw(label, (grid[0] * self.patch, grid[1] * self.patch), chance))
        return self.erase(torch.from_numpy(np.array(drawn)).permute(2, 0, 1).float() / 127.5 - 1)


def shape(length: int, chance: random.Random) -> tuple[int, int]:
    """Return a grid of about half to all of `length` patches, square or of sides of up to 1 to 4."""
    area = length * 2 ** chance.uniform(-1.5 if length == min(LENGTHS) else -1.0, 0.0)
    ratio = 4 ** chance.uniform(-1, 1) if chance.random() < 0.7 else 1.0
    rows = max(1, int((area * ratio) ** 0.5))
    columns = max(1, min(int(area / rows), length // rows, 4 * rows))
    return min(rows, 4 * columns), columns


def smoothed(labels: Tensor, classes: int) -> Tensor:
    """Return labels (B,) as shares (B, classes) of which SMOOTHING goes to all."""
    return F.one_hot(labels, classes) * (1 - SMOOTHING) + SMOOTHING / classes
