"""What is measured of classifiers, a table each."""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit import load_model, recognition
from ...nextdit.models.classifier import ClassifierConfig, ClassifierNextDiT
from ..shared.metrics import rate
from .scenes import TRAINED, Scenes, squeezed
from .vit import load as load_vit

Row = dict[str, Any]
Answer = Callable[[Tensor], Tensor]
"""Pictures (N, 3, H, W) → labels (N,)."""

METHODS = {"plain": "extrapolation", "NTK": "ntk_aware", "PI": "interpolation"}
SHIPPED = "as shipped"
"""PI, and partition within the checkpoint's bounds."""
NETWORKS = ("two stages", "first stage only", "1,600 steps", "1,600 steps, pre-norm", "ViT, 1,600 steps")
SQUARES = (48, 64, 96, 128, 192, 256, 384)
SHAPES = ((32, 128), (128, 32), (64, 128), (128, 64), (64, 256), (256, 64), (96, 384), (384, 96))


@dataclass(frozen=True)
class Contestant:
    """A network with a way to treat sizes."""

    network: str
    way: str
    answer: Answer


class Bench:
    """The networks under test, and the pictures they are shown."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.scenes = Scenes(options.cache)
        self.model = self.load(options.model)

    def load(self, file: Path) -> ClassifierNextDiT:
        return load_model(file, dtype=getattr(torch, self.options.dtype), family="classifier").eval()

    def unbound(self, file: Path) -> ClassifierNextDiT:
        """Return a network that takes all pictures at their own size."""
        model = self.load(file)
        model.config = replace(model.config, min_patches=1, max_patches=ClassifierConfig.max_patches)
        return model

    def count(self, height: int, width: int) -> int:
        """Return how many pictures of a size are shown: all, or `fewer` of the large ones."""
        return self.options.fewer if height * width > self.options.large**2 else self.options.count

    def networks(self) -> dict[str, ClassifierNextDiT]:
        """Return ours: the shipped one, and of other stages and norms those whose files are given."""
        # the last of NETWORKS is not ours, and has no file here
        given = self.options
        files = dict(zip(NETWORKS, (given.model, given.first, given.short, given.prenorm), strict=False))
        return {name: self.unbound(file) for name, file in files.items() if file and name in self.options.networks}

    def contestants(self) -> list[Contestant]:
        """Return every network with every way to treat sizes."""
        found = (
            [Contestant(NETWORKS[0], SHIPPED, ours(self.model, None))] if NETWORKS[0] in self.options.networks else []
        )
        for name, model in self.networks().items():
            for way, method in METHODS.items():
                if "pre-norm" not in name or way in ("plain", "PI"):
                    found.append(Contestant(name, way, ours(model, method)))
            found.append(Contestant(name, f"resized to {TRAINED}", resizing(ours(model, "extrapolation"))))
        if self.options.vit and NETWORKS[-1] in self.options.networks:
            vit = load_vit(self.options.vit, self.model.config.classes).to(getattr(torch, self.options.dtype))
            found.append(Contestant(NETWORKS[-1], "positions interpolated", plain(vit)))
            found.append(Contestant(NETWORKS[-1], f"resized to {TRAINED}", resizing(plain(vit))))
        return found


def ours(model: ClassifierNextDiT, method: str | None) -> Answer:
    """Return what one of our networks answers with a RoPE method."""
    return lambda x: recognition.shares(model, recognition.features(model, list(x), method)).argmax(-1)


def plain(model: torch.nn.Module) -> Answer:
    """Return what a network on batches of one size answers."""
    batches = lambda x: x.split(max(1, 4096 * 64 // (x.shape[2] * x.shape[3])))  # noqa: E731
    return lambda x: torch.cat([model(part.to(next(model.parameters()))).argmax(-1) for part in batches(x)])


def resizing(answer: Answer) -> Answer:
    """Return the same with every picture first resized to the training size."""
    return lambda x: answer(squeezed(x))


@torch.inference_mode()
def accuracy(bench: Bench, sizes: tuple[tuple[int, int], ...]) -> list[Row]:
    """Return how many pictures each contestant gets right, a column a size."""
    contestants = bench.contestants()
    rows: list[Row] = [{"network": each.network, "way": each.way} for each in contestants]
    for height, width in sizes:
        which = bench.scenes.some(bench.count(height, width))
        pictures, wanted = bench.scenes.draw(height, width, which), torch.tensor(which)
        for row, each in zip(rows, contestants, strict=True):
            began = time.process_time()
            row[f"{height}×{width}"] = rate(each.answer(pictures) == wanted)
            print(f"{each.network}, {each.way}, {height}×{width}: {row[f'{height}×{width}']['value']:.1f} %", end=" ")
            print(f"{time.process_time() - began:.1f} s", flush=True)
    return rows


def squares(bench: Bench) -> list[Row]:
    """Return accuracies at squares."""
    return accuracy(bench, tuple((side, side) for side in SQUARES))


def shapes(bench: Bench) -> list[Row]:
    """Return accuracies at long shapes."""
    return accuracy(bench, SHAPES)


@torch.inference_mode()
def speed(bench: Bench) -> list[Row]:
    """Return pictures a minute of one core, in seconds of the processor: the load of others counts less."""
    rows = []
    chance = random.Random(0)
    mixed = [(8 * chance.randint(4, 16), 8 * chance.randint(4, 16)) for _ in range(64)]
    for name, sizes in (
        ("64 × 64", [(64, 64)] * 256),
        ("128 × 128", [(128, 128)] * 64),
        ("256 × 256", [(256, 256)] * 16),
        ("32 to 128 a side, mixed", mixed),
    ):
        pictures = [torch.rand(3, *size) * 2 - 1 for size in sizes]
        recognition.features(bench.model, pictures[:8])
        began = time.process_time()
        recognition.features(bench.model, pictures)
        rows.append(
            {"pictures": name, "a minute of one core": round(60 * len(pictures) / (time.process_time() - began))}
        )
    return rows


@torch.inference_mode()
def similarity(bench: Bench) -> list[Row]:
    """Return how often the most alike drawing of another style is of the same thing: for features, and for pixels."""
    rows = []
    which = bench.scenes.labels
    asked = bench.scenes.draw(TRAINED, TRAINED, which)
    wide = bench.scenes.draw(TRAINED, 2 * TRAINED, which)
    for style in bench.options.gallery:
        other = Scenes(bench.options.cache, style)
        gallery = other.draw(TRAINED, TRAINED, which)
        held = F.normalize(recognition.features(bench.model, list(gallery)), dim=-1)
        row: Row = {"searched": style}
        for name, x in (("features, 64×64", asked), ("features, 64×128", wide)):
            found = F.normalize(recognition.features(bench.model, list(x)), dim=-1)
            row[name] = rate((found @ held.T).argmax(1) == torch.arange(len(which)))
        pixels = torch.cdist(asked.flatten(1), gallery.flatten(1)).argmin(1)
        rows.append(row | {"pixels, 64×64": rate(pixels == torch.arange(len(which)))})
    return rows
