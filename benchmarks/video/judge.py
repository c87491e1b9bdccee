"""How a clip moves and what it shows, by centroid, area and angle of what is not white: no network.

A second judge of what it shows is the recognition model, which learned from other drawings than the video model.

Clips are (3, F, H, W) in [-1, 1] on white, lengths in sides of the canvas, angles in degrees clockwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit import ClassifierNextDiT, recognition
from ...training.data.motion.batches import render, sprites
from ...training.data.motion.moves import (
    DIRECTIONS,
    DISTANCE,
    HEIGHT,
    HOPS,
    MOVES,
    RATIO,
    STILL,
    TURN,
    Track,
    speeds,
)

SEEN = 0.12  # of the way from white to black, from which on a pixel counts
CROP = 24  # px a side of what is compared
TURNS = torch.arange(-60.0, 61.0, 5.0)  # candidates from one frame to the next
AROUND = torch.arange(0.0, 360.0, 15.0)


@dataclass(frozen=True)
class Seen:
    """Where the object of a clip is in each of F frames: x, y and size (root of the area), (F,) each."""

    x: Tensor
    y: Tensor
    size: Tensor

    @property
    def places(self) -> Tensor:
        return torch.linspace(0, 1, len(self.x))


def look(clip: Tensor) -> Seen:
    """Return where the object of a clip is; the canvas's centre and size 0 where nothing is seen."""
    height, width = clip.shape[-2:]
    side = min(height, width)
    there = ((1 - clip.float().clamp(-1, 1).amin(0)) / 2 > SEEN).float()  # (F, H, W)
    area = there.sum((1, 2))
    ys = (torch.arange(height) + 0.5 - height / 2) / side
    xs = (torch.arange(width) + 0.5 - width / 2) / side
    safe = area.clamp(min=1)
    return Seen((there.sum(1) @ xs) / safe, (there.sum(2) @ ys) / safe, area.sqrt() / side)


def crops(clip: Tensor, seen: Seen, angles: Tensor | None = None) -> Tensor:
    """Return the object of each frame in the middle of CROP px and at one size, (F, 3, CROP, CROP).

    With `angles` (A,), also turned back by each of them: (F, A, 3, CROP, CROP).
    """
    height, width = clip.shape[-2:]
    side = min(height, width)
    turned = torch.zeros(1) if angles is None else angles
    cos, sin = torch.deg2rad(turned).cos(), torch.deg2rad(turned).sin()
    reach = 2.0 * seen.size.clamp(min=0.05)[:, None]  # the crop's side, in canvas sides
    across, down = reach * side / width, reach * side / height
    rows = [
        torch.stack([cos * across, -sin * across, (2 * seen.x * side / width)[:, None].expand_as(cos * across)], -1),
        torch.stack([sin * down, cos * down, (2 * seen.y * side / height)[:, None].expand_as(cos * down)], -1),
    ]
    theta = torch.stack(rows, -2)  # (F, A, 2, 3)
    count = len(turned)
    grid = F.affine_grid(theta.flatten(0, 1), [theta.shape[0] * count, 3, CROP, CROP], align_corners=False)
    frames = (1 - clip.float()).transpose(0, 1).repeat_interleave(count, 0)  # white is 0, as outside
    out = (1 - F.grid_sample(frames, grid, align_corners=False)).unflatten(0, (-1, count))
    return out[:, 0] if angles is None else out


def turning(clip: Tensor, seen: Seen) -> float:
    """Return by how many degrees the object turns from the first frame to the last."""
    plain, back = crops(clip, seen), crops(clip, seen, TURNS)
    errors = (back[1:] - plain[:-1, None]).square().mean((2, 3, 4))  # (F − 1, A)
    return float(TURNS[errors.argmin(1)].sum())


def slope(values: Tensor, places: Tensor) -> float:
    """Return the least-squares change of values (F,) from place 0 to 1."""
    centred = places - places.mean()
    return float((values * centred).sum() / centred.square().sum().clamp(min=1e-9))


def hop_height(y: Tensor, places: Tensor) -> tuple[float, int]:
    """Return the height of the hops that fit y (F,) best, and their number."""
    found = []
    for hops in sorted(set(HOPS.values())):
        shape = -(math.pi * hops * places).sin().abs()
        shape = shape - shape.mean()
        height = float(((y - y.mean()) * shape).sum() / shape.square().sum())
        found.append((float((y - y.mean() - height * shape).square().sum()), height, hops))
    _, height, hops = min(found)
    return height, hops


@dataclass(frozen=True)
class Motion:
    """How a clip moves: the way (of MOVES, or STILL), the speed, and how much."""

    kind: str
    speed: str
    amount: float


def motion(clip: Tensor) -> Motion:
    """Tell how a clip (3, F, H, W) of at least 4 frames moves: what is largest beside its slow amount."""
    seen = look(clip)
    places = seen.places
    height, hops = hop_height(seen.y, places)
    across, down = slope(seen.x, places), slope(seen.y, places)
    grown, angle = slope(seen.size.clamp(min=1e-3).log(), places), turning(clip, seen)
    parts = {
        "right" if across > 0 else "left": abs(across) / DISTANCE["slow"],
        "down" if down > 0 else "up": abs(down) / DISTANCE["slow"],
        "grow" if grown > 0 else "shrink": abs(grown) / math.log(RATIO["slow"]),
        "turn": angle / TURN["slow"],
        "bounce": height / (0.7 * HEIGHT),
    }
    kind = max(parts, key=lambda name: parts[name])
    if parts[kind] < 0.5:
        return Motion(STILL, "", 0.0)
    if kind == "bounce":
        return Motion(kind, next(name for name, count in HOPS.items() if count == hops), height)
    amount = {"turn": angle, "grow": math.exp(grown), "shrink": math.exp(-grown)}.get(
        kind, parts[kind] * DISTANCE["slow"]
    )
    return Motion(kind, nearest_speed(kind, amount), amount)


def nearest_speed(kind: str, amount: float) -> str:
    """Return the speed whose amount of a way to move is nearest, by ratio."""
    table = DISTANCE if kind in DIRECTIONS else TURN if kind == "turn" else RATIO
    shift = -1.0 if table is RATIO else 0.0  # of a ratio of sizes what is more than 1 counts
    amount = max(amount + shift, 1e-3)
    return min(speeds(kind), key=lambda name: abs(math.log((table[name] + shift) / amount)))


class Identities:
    """Which of some pictures a clip shows: the one whose crop is nearest to those of its frames."""

    def __init__(self, pictures: Tensor, side: int = 32):
        """`pictures` are straight RGBA uint8 (N, S, S, 4), judged at frames of `side` px."""
        still = [Track(*(torch.tensor([value]) for value in (0.0, 0.0, 0.6, 0.0)))] * len(pictures)
        drawn = render(sprites(pictures), still, side, side)
        self.true = torch.stack([crops(clip, look(clip))[0] for clip in drawn])  # (N, 3, CROP, CROP)

    def nearest(self, clip: Tensor, turned: bool = False) -> int:
        """Return the number of the picture that a clip shows; `turned` tries every angle in each frame."""
        seen = look(clip)
        views = crops(clip, seen, AROUND) if turned else crops(clip, seen)[:, None]  # (F, A, 3, C, C)
        distances = torch.cdist(views.flatten(2), self.true.flatten(1).expand(len(views), -1, -1))  # (F, A, N)
        return int(distances.square().amin(1).mean(0).argmin())


class Classifier:
    """Which of some emoji a clip shows by the recognition model, which never saw drawings of this style."""

    def __init__(self, network: ClassifierNextDiT, emoji: Sequence[str], side: int = 64):
        """Frames are enlarged to `side` px, the size that the model was trained at."""
        self.network, self.side = network, side
        names = network.config.names("emoji")
        self.labels = [names.index(each) for each in emoji]

    def nearest(self, clip: Tensor) -> int:
        """Return the number of the emoji that is the likeliest in the frames of a clip (3, F, H, W), on average."""
        size = (self.side, self.side * clip.shape[-1] // clip.shape[-2])
        frames = F.interpolate(clip.float().transpose(0, 1), size, mode="bicubic", antialias=True).clamp(-1, 1)
        likely = recognition.shares(self.network, recognition.features(self.network, list(frames)))[:, self.labels]
        return int((likely / likely.sum(1, keepdim=True)).mean(0).argmax())


def drift(clip: Tensor) -> float:
    """Return how far the object's mean colour goes from that of the first frame, the mean over the other frames."""
    there = ((1 - clip.float().clamp(-1, 1).amin(0)) / 2 > SEEN).float()
    colours = (clip.float() * there).sum((2, 3)) / there.sum((1, 2)).clamp(min=1)  # (3, F)
    return float((colours[:, 1:] - colours[:, :1]).norm(dim=0).mean())


def unsteadiness(clip: Tensor) -> float:
    """Return how much the object itself changes from frame to frame: the error between crops, turned to fit."""
    seen = look(clip)
    plain, back = crops(clip, seen), crops(clip, seen, TURNS)
    return float((back[1:] - plain[:-1, None]).square().mean((2, 3, 4)).amin(1).mean())


def all_kinds() -> Sequence[tuple[str, str]]:
    """Return every way to move at every speed."""
    return [(kind, speed) for kind in MOVES for speed in speeds(kind)]
