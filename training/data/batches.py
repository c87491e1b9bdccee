"""Batches of the demo data: which size at which step, pictures and captions, all decided by the step's number."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .emoji import pack
from .emoji.captions import Caption, Captions
from .emoji.concepts import COLOURS
from .emoji.pictures import WHITE

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

    def positions(self, patch: int, train_pixels: int = TRAIN_PIXELS) -> tuple[Tensor, Tensor]:
        """Return the RoPE positions of rows and columns: patches of any size lie where those of `train_pixels` do.

        Large pictures so have interpolated positions (paper section 2.3), small ones have gaps between them.
        """
        stride = train_pixels / self.picture
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
LARGE_BUCKETS = (
    # of a demo of 128 px: what is what and which is where from small pictures, then what they look like
    Bucket(32, 32, 32, 0.65, ends=0.25),
    Bucket(32, 64, 32, 0.35, ends=0.25),
    Bucket(64, 64, 64, 0.55, begins=0.15, ends=0.75),
    Bucket(64, 128, 64, 0.15, begins=0.25),
    Bucket(128, 128, 128, 0.60, begins=0.45),
    Bucket(128, 256, 128, 0.10, begins=0.6),
)
BUCKETS_OF = {64: BUCKETS, 128: LARGE_BUCKETS}
"""Training size in pixels → the sizes of a run."""


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, H, W) in [-1, 1], their prompts, and the RoPE positions of rows and columns."""

    pictures: Tensor
    prompts: list[str]
    positions: tuple[Tensor, Tensor] | None = None


class EmojiBatches:
    """Draws batches of the prepared demo data; batch n is the same in every run with the same seed.

    `cache` is a prepared folder or a packed file. Pictures are put together on `device`.
    """

    def __init__(
        self,
        cache: Path,
        tokens: int,
        patch: int,
        seed: int = 0,
        buckets: tuple[Bucket, ...] = BUCKETS,
        train_pixels: int = TRAIN_PIXELS,
        device: torch.device | str = "cpu",
    ):
        table, pictures = load(cache, {b.picture for b in buckets})
        self.captions = Captions(table)
        self.pictures = {size: torch.from_numpy(drawn).to(device) for size, drawn in pictures.items()}
        self.tokens, self.patch, self.seed, self.buckets = tokens, patch, seed, buckets
        self.train_pixels = train_pixels

    def draw(self, step: int, spent: float) -> Batch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        chance = random.Random(f"{self.seed} {step}")
        open_now = [b for b in self.buckets if b.begins <= spent <= b.ends] or list(self.buckets)
        bucket = chance.choices(open_now, [b.share for b in open_now])[0]
        captions = [self.caption(bucket, chance) for _ in range(bucket.batch(self.tokens, self.patch))]
        prompts = ["" if chance.random() < EMPTY else caption.text for caption in captions]
        positions = bucket.positions(self.patch, self.train_pixels)
        return Batch(compose(self.pictures[bucket.picture], captions, bucket), prompts, positions)

    def caption(self, bucket: Bucket, chance: random.Random) -> Caption:
        """Return one caption for a size."""
        wide = bucket.width > bucket.height
        kind = ("pair" if wide else "background") if chance.random() < (0.75 if wide else 0.2) else "single"
        return self.captions.draw(kind, chance)


def load(cache: Path, sizes: set[int]) -> tuple[dict, dict[int, np.ndarray]]:
    """Return the concept table and size → pictures (N, size, size, 4). Raises ValueError if a file lacks a size."""
    if cache.is_dir():
        table = json.loads((cache / "concepts.json").read_text("utf-8"))
        return table, {size: np.load(cache / f"pictures-{size}.npy") for size in sizes}
    table, packed = pack.read(cache)
    if missing := sizes - packed.keys():
        raise ValueError(
            f"{cache} has pictures of {', '.join(map(str, sorted(packed)))} px, not of "
            f"{', '.join(map(str, sorted(missing)))}: pack it with --sizes, or leave that size out of training"
        )
    return table, {size: packed[size] for size in sizes}


def compose(pictures: Tensor, captions: list[Caption], bucket: Bucket) -> Tensor:
    """Lay RGBA pictures (N, S, S, 4) as captions say, in the middle of white, → (B, 3, H, W) float32 in [-1, 1]."""
    device, size = pictures.device, pictures.shape[1]
    out = torch.full((len(captions), bucket.height, bucket.width, 3), 255.0, device=device)
    top = (bucket.height - size) // 2
    colours = torch.tensor([WHITE if c.colour < 0 else list(COLOURS.values())[c.colour] for c in captions])
    for count in {len(caption.concepts) for caption in captions}:
        rows = [i for i, caption in enumerate(captions) if len(caption.concepts) == count]
        concepts = torch.tensor([captions[i].concepts for i in rows]).to(device)  # (b, count)
        chosen, behind = pictures[concepts].float(), colours[rows].to(device).float()[:, None, None, None]
        alpha = chosen[..., 3:] / 255
        drawn = (chosen[..., :3] * alpha + behind * (1 - alpha)).round()  # (b, count, S, S, 3)
        left = (bucket.width - count * size) // 2
        side_by_side = drawn.transpose(1, 2).flatten(2, 3)  # (b, S, count · S, 3)
        out[torch.tensor(rows, device=device), top : top + size, left : left + count * size] = side_by_side
    return out.permute(0, 3, 1, 2) / 127.5 - 1
