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
    """Draws `count` clouds of `points` random points each, on a device, from a set (labels, shapes, points, 3).

    Captions are drawn from `captions`, a list for every label: enough that a step need not make new ones.
    """

    CAPTIONS = 1000

    def __init__(
        self,
        clouds: np.ndarray,
        points: int,
        count: int,
        seed: int,
        dropped: float = 0.1,
        device: str | torch.device = "cpu",
    ):
        self.clouds = torch.from_numpy(np.array(clouds)).to(device)
        self.points, self.count, self.seed, self.dropped = points, count, seed, dropped
        words = Random(f"captions {seed}")
        self.captions = [[captions.draw(n, words) for _ in range(self.CAPTIONS)] for n in range(len(clouds))]

    def draw(self, step: int, spent: float) -> PointBatch:
        """Return the batch of a step; a part `dropped` of it without label and caption."""
        chance = np.random.default_rng((self.seed, step))
        labels = chance.integers(len(self.clouds), size=self.count)
        shapes = chance.integers(self.clouds.shape[1], size=self.count)
        generator = torch.Generator(self.clouds.device).manual_seed(int(chance.integers(2**62)))
        clouds = self.clouds[tuple(torch.from_numpy(np.stack([labels, shapes])).to(self.clouds.device))]
        order = torch.rand(clouds.shape[:2], generator=generator, device=clouds.device).topk(self.points).indices
        points = clouds.gather(1, order.unsqueeze(-1).expand(-1, -1, 3)).float().transpose(1, 2).contiguous()
        left_out = chance.random(self.count) < self.dropped
        words = chance.integers(self.CAPTIONS, size=self.count)
        drawn = [self.captions[label][word] for label, word in zip(labels, words, strict=True)]
        prompts = ["" if out else text for out, text in zip(left_out, drawn, strict=True)]
        return PointBatch(points, torch.from_numpy(np.where(left_out, -1, labels)), prompts)
