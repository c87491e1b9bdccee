"""Batches of rendered objects: some views of each at one size, azimuths, captions and, mostly, a condition image."""

import json
import math
import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import EMPTY, TRAIN_PIXELS

WITHOUT_IMAGE = 0.3  # part of the steps in which views are drawn from the caption alone
IMAGE_ALONE = 0.35  # part of the captions that become empty where there is a condition image
COMMON = 0.1  # part of the steps from which on a shape is worth a compilation


@dataclass(frozen=True)
class ViewBucket:
    """One shape in a run: views of a set, their size in px, share of the steps, from where to where of the run.

    `full` is the size in px that the run is for.
    """

    views: int
    size: int
    share: float
    begins: float = 0.0
    ends: float = 1.0
    full: int = TRAIN_PIXELS

    def positions(self, patch: int) -> tuple[Tensor, Tensor]:
        """Return the RoPE positions of rows and columns: smaller views have gaps between theirs."""
        along = torch.arange(self.size // patch) * (self.full / self.size)
        return along, along


def view_buckets(quarter: float, half: float, full: int = TRAIN_PIXELS) -> tuple[ViewBucket, ...]:
    """Return the shapes of a run: a quarter of the size `full` until `quarter` (0 to 1), then half of it until `half`.

    Half the size costs a quarter, and how an azimuth turns an object is seen at 16 px already. The paper's stages
    (section 5.1) are a size, then more views; here all numbers of views are mixed from the start.
    """
    shares = {4: 0.7, 8: 0.15, 2: 0.05, 3: 0.05, 6: 0.05}
    edges = (0.0, quarter, half, 1.0)
    return tuple(
        ViewBucket(views, full // part, share, begins, ends, full)
        for part, (begins, ends) in zip((4, 2, 1), pairwise(edges), strict=True)
        if ends > begins
        for views, share in shares.items()
    )


@dataclass(frozen=True)
class ViewBatch:
    """Views (B, N, 3, H, W) in [-1, 1], azimuths (B, N) in degrees, prompts, condition images (B, 3, H, W) or None.

    Azimuths are relative to the condition image or, without one, to view 0. `common` tells that many batches have this
    shape; `positions` are the RoPE positions of rows and columns.
    """

    views: Tensor
    azimuths: Tensor
    prompts: list[str]
    images: Tensor | None
    positions: tuple[Tensor, Tensor]
    common: bool

    @property
    def centre(self) -> float:
        """Centre of the training times on the logit scale, earlier for larger pictures, which show through more noise.

        Only where noise hides the pose does the azimuth matter (cf. Hoogeboom et al. 2023, section 3.1).
        """
        return -0.6 - 0.4 * math.log2(self.views.shape[-1] / 16)


class Objects:
    """Renders and captions as training.data.objects.views writes them. Raises FileNotFoundError for what is not there.

    `views` (objects, V, S, S, 3) uint8 at `azimuths` (objects, V) in degrees; `images` (objects, J, S, S, 3), image j
    at the azimuth of view j; `captions`, a list an object. `held_out` reads the test files, whose views stand every
    360 / V degrees from 0 and whose images at 0.
    """

    def __init__(self, cache: Path, held_out: bool = False):
        prefix = "test-" if held_out else ""
        self.views, self.images = (read(cache, f"{prefix}{name}-{TRAIN_PIXELS}.npy") for name in ("views", "images"))
        objects, count = self.views.shape[:2]
        even = np.tile(np.arange(count, dtype=np.float32) * 360 / count, (objects, 1))
        self.azimuths = even if held_out else read(cache, "azimuths.npy")
        described = json.loads(find(cache, f"{prefix}objects.json").read_text("utf-8"))
        self.captions = [item.get("captions") or [item["caption"]] for item in described]
        lengths = {len(part) for part in (self.views, self.images, self.azimuths, self.captions)}
        if len(lengths) > 1:
            raise ValueError(f"the files in {cache} are of {sorted(lengths)} objects, expected one number: render anew")


def find(cache: Path, name: str) -> Path:
    """Return the path of a file of rendered objects. Raises FileNotFoundError."""
    if not (cache / name).is_file():
        raise FileNotFoundError(
            f"{cache} has no {name}: render the objects first, python -m lumina_next.training.data.objects.views"
        )
    return cache / name


def read(cache: Path, name: str) -> np.ndarray:
    """Return an array that stays on disk until it is indexed."""
    return np.load(find(cache, name), mmap_mode="r")


def to_size(pictures: np.ndarray, size: int) -> Tensor:
    """Turn RGB uint8 (…, S, S, 3) into (…, 3, size, size) float32 in [-1, 1], averaging over boxes of pixels."""
    x = torch.from_numpy(np.array(pictures)).movedim(-1, -3).float() / 127.5 - 1
    window = x.shape[-1] // size
    return x if window == 1 else F.avg_pool2d(x.flatten(0, -4), window).unflatten(0, x.shape[:-3])


Item = tuple[np.ndarray, np.ndarray, np.ndarray, str]


class ViewBatches:
    """Draws batches of rendered objects; batch n is the same in every run with the same seed."""

    def __init__(self, objects: Objects, tokens: int, patch: int, seed: int, buckets: tuple[ViewBucket, ...]):
        self.objects, self.tokens, self.patch, self.seed, self.buckets = objects, tokens, patch, seed, buckets

    def draw(self, step: int, spent: float) -> ViewBatch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        chance = random.Random(f"{self.seed} {step}")
        open_now = [b for b in self.buckets if b.begins <= spent <= b.ends] or list(self.buckets)
        bucket = chance.choices(open_now, [b.share for b in open_now])[0]
        with_image = chance.random() >= WITHOUT_IMAGE  # of the whole batch, since it is a frame more or less
        frames = bucket.views + with_image
        sets = max(1, round(self.tokens / (frames * (bucket.size // self.patch) ** 2)))
        rows = [self.item(bucket.views, with_image, chance) for _ in range(sets)]
        views, azimuths, images, prompts = zip(*rows, strict=True)
        part = bucket.share * (1 - WITHOUT_IMAGE if with_image else WITHOUT_IMAGE)
        return ViewBatch(
            views=to_size(np.stack(views), bucket.size),
            azimuths=torch.from_numpy(np.stack(azimuths)),
            prompts=list(prompts),
            images=to_size(np.stack(images), bucket.size) if with_image else None,
            positions=bucket.positions(self.patch),
            common=part >= COMMON,
        )

    def item(self, count: int, with_image: bool, chance: random.Random) -> Item:
        """Return views (count, S, S, 3), relative azimuths (count,), a condition image (S, S, 3) and a prompt."""
        objects = self.objects
        number = chance.randrange(len(objects.captions))
        chosen = chance.sample(range(objects.views.shape[1]), count)
        reference = chance.randrange(objects.images.shape[1])
        azimuths = objects.azimuths[number]
        relative = (azimuths[chosen] - azimuths[reference if with_image else chosen[0]]) % 360
        empty = IMAGE_ALONE if with_image else EMPTY
        prompt = "" if chance.random() < empty else chance.choice(objects.captions[number])
        return objects.views[number][chosen], relative, objects.images[number, reference], prompt
