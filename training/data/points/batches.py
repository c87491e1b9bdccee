"""Batches of point clouds with their labels and captions."""

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor

from . import captions


@dataclass(frozen=True)
class PointBatch:
    """Clouds (B, 3, N) with labels (B,) and a caption each; both may be left out: -1, and an empty caption."""

    points: Tensor
    labels: Tensor
    prompts: list[str]


class PointBatches:
    """Draws `count` clouds of `points` random points each from a set (labels, shapes, points, 3)."""

    def __init__(self, clouds: np.ndarray, points: int, count: int, seed: int, dropped: float = 0.1):
        self.clouds, self.points, self.count, self.seed, self.dropped = clouds, points, count, seed, dropped

    def draw(self, step: int, spent: float) -> PointBatch:
        """Return the batch of a step; a part `dropped` of it without label and caption."""
        chance = np.random.default_rng((self.seed, step))
        labels = chance.integers(len(self.clouds), size=self.count)
        shapes = chance.integers(self.clouds.shape[1], size=self.count)
        chosen = [chance.permutation(self.clouds.shape[2])[: self.points] for _ in labels]
        points = [self.clouds[label, shape][pick] for label, shape, pick in zip(labels, shapes, chosen, strict=True)]
        left_out = chance.random(self.count) < self.dropped
        words = Random(f"captions {self.seed} {step}")
        drawn = [captions.draw(int(label), words) for label in labels]
        return PointBatch(
            torch.from_numpy(np.stack(points)).float().transpose(1, 2).contiguous(),
            torch.from_numpy(np.where(left_out, -1, labels)),
            ["" if out else text for out, text in zip(left_out, drawn, strict=True)],
        )
