"""`python -m lumina_next.training.tasks.class_image`: the demo's emoji by their number, without a text encoder.

`--kind` is Next-DiT, Flag-DiT or Next-DiT with experts, all of nearly as many parameters. Without `--cache` the data
are those of demo/, which takes no download. Goes on when called again with the same `--run`.
"""

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from torch import Tensor

from ...nextdit import Call, load_model
from ...nextdit.layers.attend import default_attend
from ...nextdit.models.class_image import ClassConfig, ClassDiT
from ...samplers import guide, integrate
from ..data.batches import EMPTY, Bucket, compose, load
from ..data.emoji.captions import Caption
from ..data.emoji.concepts import COLOURS
from ..data.emoji.pack import pack_demo
from ..data.emoji.pictures import to_pixels
from ..loop.attention import folded_attention
from ..loop.flow import flow_loss, initialise
from ..loop.trainer import Trainer, check_pixels, parser, run_stage, start

PIXELS = (32, 64)
COLUMNS = 16
COLOURED = 0.2  # part of the pictures on a colour
SIZES = ClassConfig(
    dim=128,
    n_layers=5,
    n_heads=4,
    n_kv_heads=2,
    in_channels=3,
    out_channels=3,
    patch_size=4,
    ffn_dim=320,
    time_dim=128,
)
KINDS = {
    # the feed-forward takes what the others have more of
    "next": SIZES,
    "flag": replace(SIZES, block="flag", ffn_dim=236),
    "time": replace(SIZES, time_experts=4, ffn_dim=80),
    "space": replace(SIZES, space_experts=4, ffn_dim=80),
}


@dataclass(frozen=True)
class ClassBatch:
    """Pictures (B, 3, H, W) in [-1, 1] and their classes (B,)."""

    pictures: Tensor
    labels: Tensor


class ClassBatches:
    """Draws emoji on white, some on a colour, some without their class; batch n is the same for a seed."""

    def __init__(self, cache: Path, pixels: int, count: int, seed: int):
        table, pictures = load(cache, {pixels})
        self.labels = tuple(table["words"][emoji]["en"][0].replace(",", "") for emoji in table["emoji"])
        self.pictures, self.bucket = torch.from_numpy(pictures[pixels]), Bucket(pixels, pixels, pixels, 1.0)
        self.count, self.seed = count, seed

    def draw(self, step: int, spent: float) -> ClassBatch:
        """Return the batch of a step."""
        chance = random.Random(f"{self.seed} {step}")
        shown, labels = [], []
        for _ in range(self.count):
            label = chance.randrange(len(self.labels))
            colour = chance.randrange(len(COLOURS)) if chance.random() < COLOURED else -1
            shown.append(Caption("", (label,), colour))
            labels.append(len(self.labels) if chance.random() < EMPTY else label)
        return ClassBatch(compose(self.pictures, shown, self.bucket), torch.tensor(labels))


class ClassTask:
    """Pictures from classes."""

    def __init__(self, options: argparse.Namespace):
        self.options = options

    def loss(self, model: ClassDiT, batch: ClassBatch, generator: torch.Generator) -> Tensor:
        device = torch.device(self.options.device)
        shares = model.shares(batch.labels).to(device).unsqueeze(1)
        call = Call(attend=folded_attention if device.type == "cpu" else default_attend)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return model.velocity(x, t, shares, None, call)

        return flow_loss(velocity, batch.pictures.to(device), generator)

    def about(self, model: ClassDiT) -> dict[str, str]:
        return {"train_tokens": str(self.options.train_pixels // model.config.patch_size)}

    def show(self, model: ClassDiT, file: Path, spent: float) -> None:
        """Draw every class once."""
        labels = torch.arange(model.config.classes).to(self.options.device)
        rows = [draw(model, part, self.options.train_pixels) for part in labels.split(COLUMNS)]
        rows = [torch.cat([row, row.new_ones(COLUMNS - len(row), *row.shape[1:])]) for row in rows]
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        Image.fromarray(to_pixels(sheet[None])[0]).save(file)


@torch.no_grad()
def draw(model: ClassDiT, labels: Tensor, pixels: int, steps: int = 10, cfg: float = 2.0, seed: int = 0) -> Tensor:
    """Return pictures (B, 3, H, W) in [-1, 1] of classes (B,), each from noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(labels), 3, pixels, pixels, generator=generator).to(labels.device)
    both = torch.cat([labels, torch.full_like(labels, model.config.classes)])

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return guide(*model(x.repeat(2, 1, 1, 1), t.to(x).expand(len(both)), both).chunk(2), cfg)

    return integrate(velocity, x, torch.linspace(0, 1, steps + 1), "midpoint")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Next classes demo", text=False)
    stage.set_defaults(cache=None)
    add = stage.add_argument
    add("--kind", choices=KINDS, default="next", help="architecture of an untrained network")
    add("--model", type=Path, help="checkpoint to start from (default: an untrained one)")
    add("--train-pixels", type=int, choices=PIXELS, default=PIXELS[0], help="side of the pictures")
    add("--pictures", type=int, default=32, help="pictures a batch")
    return stage.parse_args(arguments)


def make_batches(options: argparse.Namespace) -> ClassBatches:
    """Return the batches of the options' data, or of demo/ without any."""
    if options.cache is not None:
        return ClassBatches(options.cache, options.train_pixels, options.pictures, options.seed)
    with TemporaryDirectory() as folder:
        pack_demo(packed := Path(folder) / "demo.npz", (options.train_pixels,))
        return ClassBatches(packed, options.train_pixels, options.pictures, options.seed)


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    config = KINDS[options.kind]
    batches = make_batches(options)
    if options.model:
        model = load_model(options.model, dtype=torch.float32, family="class_image")
    else:
        model = initialise(ClassDiT(replace(config, classes=len(batches.labels), labels=batches.labels)))
    check_pixels(model, options.model)
    return start(model, ClassTask(options), batches, options)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
