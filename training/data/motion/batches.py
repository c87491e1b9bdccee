"""Batches of clips: one number of frames and size each, all decided by the step's number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import EMPTY, load
from .captions import MotionCaptions
from .moves import Track, track

FRAMES, PIXELS = 8, 32
GIVEN = (("none", 0.55), ("first", 0.25), ("ends", 0.12), ("some", 0.08))  # which frames are clean, in parts
COMMON = 0.3  # part of the steps from which on a shape is worth a compilation


@dataclass(frozen=True)
class ClipBucket:
    """One shape in a run: frames, height and width in px, share of the steps, from where to where of the run.

    `side` is that of the canvas in px: a picture's size on it and RoPE's positions go by it, as if it had `full` px.
    """

    frames: int
    height: int
    width: int
    share: float
    begins: float = 0.0
    ends: float = 1.0
    full: int = PIXELS

    @property
    def side(self) -> int:
        return min(self.height, self.width)

    def positions(self, patch: int) -> tuple[Tensor, Tensor]:
        """Return the RoPE positions of rows and columns: smaller canvases have gaps between theirs."""
        stride = self.full / self.side
        return torch.arange(self.height // patch) * stride, torch.arange(self.width // patch) * stride


def clip_buckets(half: float, frames: int = FRAMES, full: int = PIXELS) -> tuple[ClipBucket, ...]:
    """Return the shapes of a run: clips at half of the size `full` until `half` (0 to 1), which cost a quarter."""
    short = max(2, frames // 2)
    whole = (
        ClipBucket(frames, full, full, 0.84, half, full=full),
        ClipBucket(1, full, full, 0.04, half, full=full),
        ClipBucket(short, full, full, 0.06, half, full=full),
        ClipBucket(frames, full, full * 3 // 2, 0.06, half, full=full),
    )
    small = (
        ClipBucket(frames, full // 2, full // 2, 0.9, ends=half, full=full),
        ClipBucket(short, full // 2, full // 2, 0.1, ends=half, full=full),
    )
    return (*small, *whole) if half else whole


@dataclass(frozen=True)
class ClipBatch:
    """Clips (B, 3, F, H, W) in [-1, 1], prompts, which frames are given (B, F), RoPE positions of rows and columns.

    `common` tells that many batches have this shape.
    """

    clips: Tensor
    prompts: list[str]
    given: Tensor
    positions: tuple[Tensor, Tensor]
    common: bool


class MotionBatches:
    """Draws batches of moving emoji; batch n is the same in every run with the same seed.

    `cache` is a prepared folder or a packed file (training.data.emoji), `turns` as in MotionCaptions.
    """

    def __init__(
        self, cache: Path, tokens: int, patch: int, seed: int, buckets: Sequence[ClipBucket], turns: float = 1.0
    ):
        sizes = {sprite_size(bucket.side) for bucket in buckets}
        table, pictures = load(cache, sizes)
        self.captions = MotionCaptions(table, turns)
        self.sprites = {size: sprites(torch.from_numpy(drawn)) for size, drawn in pictures.items()}
        self.tokens, self.patch, self.seed, self.buckets = tokens, patch, seed, tuple(buckets)

    def draw(self, step: int, spent: float) -> ClipBatch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        chance = random.Random(f"{self.seed} {step}")
        open_now = [b for b in self.buckets if b.begins <= spent <= b.ends] or list(self.buckets)
        bucket = chance.choices(open_now, [b.share for b in open_now])[0]
        count = max(1, round(self.tokens / (bucket.frames * bucket.height * bucket.width / self.patch**2)))
        drawn = [self.captions.draw(chance) for _ in range(count)]
        places = torch.linspace(0, 1, bucket.frames) if bucket.frames > 1 else torch.tensor([chance.random()])
        tracks = [track(kind, speed, places, chance) for _, _, kind, speed in drawn]
        chosen = self.sprites[sprite_size(bucket.side)][[concept for _, concept, _, _ in drawn]]
        return ClipBatch(
            clips=render(chosen, tracks, bucket.height, bucket.width),
            prompts=["" if chance.random() < EMPTY else caption for caption, _, _, _ in drawn],
            given=torch.stack([draw_given(bucket.frames, chance) for _ in drawn]),
            positions=bucket.positions(self.patch),
            common=bucket.share >= COMMON,
        )


def draw_given(frames: int, chance: random.Random) -> Tensor:
    """Draw which of the frames of a clip are given, (F,); never all of them."""
    kind = chance.choices([name for name, _ in GIVEN], [part for _, part in GIVEN])[0]
    given = torch.zeros(frames, dtype=torch.bool)
    if kind == "first":
        given[0] = True
    elif kind == "ends":
        given[[0, -1]] = True
    elif kind == "some":
        given[chance.sample(range(frames), chance.randint(1, max(1, frames // 2)))] = True
    return given if not given.all() else torch.zeros_like(given)


def sprite_size(side: int) -> int:
    """Return the size in px of the drawings that clips of a side are made of."""
    return next((size for size in (32, 64, 128) if size >= 2 * side), 128)


def sprites(drawn: Tensor) -> Tensor:
    """Turn straight RGBA uint8 (N, S, S, 4) into colours on black and alpha, float32 (N, 4, S, S) in [0, 1]."""
    pictures = drawn.permute(0, 3, 1, 2).float() / 255
    return torch.cat([pictures[:, :3] * pictures[:, 3:], pictures[:, 3:]], dim=1)


def render(pictures: Tensor, tracks: Sequence[Track], height: int, width: int) -> Tensor:
    """Draw sprites (B, 4, S, S), one a track, on white → clips (B, 3, F, height, width) float32 in [-1, 1].

    Sizes and distances go by the shorter side. Each pixel averages four.
    """
    x, y, size, angle = (
        torch.stack([getattr(moved, name) for moved in tracks]) for name in ("x", "y", "size", "angle")
    )
    turned, side = torch.deg2rad(angle), min(height, width)
    cos, sin = turned.cos() / size, turned.sin() / size
    # from canvas coordinates (-1 to 1 along each side) to the sprite's
    across, down = width / side, height / side
    rows = [
        torch.stack([cos * across, sin * down, -2 * (cos * x + sin * y)], dim=-1),
        torch.stack([-sin * across, cos * down, -2 * (cos * y - sin * x)], dim=-1),
    ]
    theta = torch.stack(rows, dim=-2).flatten(0, 1)  # (B·F, 2, 3)
    grid = F.affine_grid(theta, [len(theta), 4, 2 * height, 2 * width], align_corners=False)
    frames = pictures.repeat_interleave(x.shape[1], dim=0)
    drawn = F.avg_pool2d(F.grid_sample(frames, grid, align_corners=False), 2)
    on_white = drawn[:, :3] + (1 - drawn[:, 3:])
    return (2 * on_white - 1).unflatten(0, (len(tracks), -1)).transpose(1, 2)
