"""A judge of the demo's 64 things that never saw the style the generators draw: a small convolutional network.

It learns from five other sets of emoji (`training.data.recognition`). How often it is right on the very pictures that
the generators learned from is its ceiling: no generator can be expected to score more.
"""

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...training.data.emoji.concepts import EMOJI
from ...training.data.recognition.batches import LabelledBatches, Source
from ...training.data.recognition.sources import EmojiSource

PIXELS = 32
WIDTHS = (24, 48, 96, 192)
BATCH = 96


class DemoSource:
    """The demo's things, in its order, in all styles but that of the test."""

    def __init__(self, cache: Path):
        self.whole = EmojiSource(cache)
        self.numbers = [self.whole.labels["emoji"].index(emoji) for emoji in EMOJI]
        self.labels = {"emoji": list(EMOJI)}

    def __len__(self) -> int:
        return len(self.numbers)

    def draw(self, label: int, size: tuple[int, int], chance: random.Random) -> Image.Image:
        """Return a picture of a label of (height, width) pixels."""
        return self.whole.draw(self.numbers[label], size, chance)


class Residual(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut, (B, C, H, W) → (B, width, H / stride, W / stride)."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.shortcut = nn.Conv2d(before, width, 1, stride) if before != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        return F.relu(h + self.shortcut(x))


class Judge(nn.Module):
    """Pictures (B, 3, 32, 32) in [-1, 1] → logits (B, labels)."""

    def __init__(self, labels: int = len(EMOJI)):
        super().__init__()
        widths = zip(WIDTHS, (*WIDTHS[1:], WIDTHS[-1]), strict=True)
        blocks = [Residual(before, width, 2 if before != width else 1) for before, width in widths]
        self.body = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1), nn.ReLU(), *blocks)
        self.head = nn.Linear(WIDTHS[-1], labels)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def train(source: Source, steps: int, seed: int = 0) -> Judge:
    """Return a judge trained for so many steps on pictures of a source, augmented as those of recognition are."""
    torch.manual_seed(seed)
    batches = LabelledBatches(source, 8, PIXELS // 8, BATCH, seed)
    judge = Judge(len(source))
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for step in range(steps):
        batch = batches.draw(step, 0.0)
        assert isinstance(batch.pictures, Tensor)
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(batch.pictures.contiguous(memory_format=torch.channels_last))
        F.cross_entropy(logits.float(), batch.targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return judge.eval()


@torch.inference_mode()
def judged(judge: Judge, pictures: Tensor) -> Tensor:
    """Return the class (B,) that a judge sees in each picture (B, 3, S, S), resized to what it has learned."""
    if pictures.shape[-1] != PIXELS:
        pictures = F.interpolate(pictures.float(), (PIXELS, PIXELS), mode="bicubic", antialias=True)
    return torch.cat([judge(part.clamp(-1, 1)).argmax(1) for part in pictures.float().split(256)])
