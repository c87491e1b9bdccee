"""Stage 3, `python -m lumina_next.training.tasks.image`: flow matching of a Next-DiT.

Trains the demo checkpoint on the prepared emoji, or with `--images FOLDER` fine-tunes `--model FILE` on a folder of
captioned images. Stops after `--minutes` and goes on from the next step when called again with the same `--run`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...nextdit import Call, NextDiT, NextDiTConfig, load_model
from ...nextdit.family import Family
from ...nextdit.layers.attend import default_attend
from ...nextdit.models.image import FAMILY
from ...nextdit.text import TextEncoder, load_text_encoder
from ...pipelines.sampling import Sampling, noise, sample
from ..data.batches import BUCKETS_OF, Batch, EmojiBatches
from ..data.emoji.pictures import to_pixels
from ..data.folder import FolderBatches
from ..loop.attention import folded_attention
from ..loop.flow import flow_loss, initialise
from ..loop.trainer import Batches, Trainer, check_pixels, encode, parser, run_stage, start

SHOWN = ("dog face", "avocado, red apple", "ロケット", "🐸", "猫脸", "pizza on a blue background", "сердце", "maison")
SHAPE = {
    "dim": "width of the tokens",
    "n_layers": "number of layers",
    "n_heads": "heads of queries",
    "n_kv_heads": "heads of keys and values",
    "ffn_dim": "width of the feed-forward",
    "time_dim": "width of the condition",
    "patch_size": "side of a token in pixels",
}
"""Options of an untrained network: fields of NextDiTConfig."""


def demo_config(text_dim: int) -> NextDiTConfig:
    """Return the demo's architecture: pixels, patch 4, three heads of 64."""
    return NextDiTConfig(
        dim=192,
        n_layers=6,
        n_heads=3,
        n_kv_heads=1,
        text_dim=text_dim,
        in_channels=3,
        out_channels=3,
        patch_size=4,
        ffn_dim=512,
        time_dim=192,
    )


class ImageTask:
    """Pictures from prompts."""

    def __init__(self, encoder: TextEncoder, options: argparse.Namespace):
        self.encoder, self.options = encoder, options

    def loss(self, model: NextDiT, batch: Batch, generator: torch.Generator) -> Tensor:
        device = next(model.parameters()).device
        text, mask = encode(self.encoder, batch.prompts, device)
        positions = batch.positions and [p.to(device) for p in batch.positions]
        replaced = None
        if self.options.checkpoint_gradients:

            def recompute(tokens, run):
                return checkpoint(run, tokens, use_reentrant=False)

            replaced = {i: recompute for i in range(model.config.n_layers)}
        attend = folded_attention if device.type == "cpu" else default_attend
        call = Call(attend=attend, replace=replaced, positions=positions)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return model.velocity(x, t, text, mask, call)

        return flow_loss(velocity, batch.pictures.to(device), generator)

    def about(self, model: NextDiT) -> dict[str, str]:
        # what Scaled RoPE goes by
        side = self.options.train_pixels // model.config.patch_size
        return {} if self.options.images else {"train_tokens": str(side)}

    def show(self, model: NextDiT, file: Path, spent: float) -> None:
        write_row(model, self.encoder, file, self.options.train_pixels)


def write_row(model: NextDiT, encoder: TextEncoder, file: Path, size: int) -> None:
    """Write a row of samples of SHOWN as a picture file."""
    rows = sample(model, encoder, SHOWN, noise(range(len(SHOWN)), size, size), Sampling(10, "uniform", cfg=2.0))
    Image.fromarray(to_pixels(torch.cat(list(rows), dim=2)[None])[0]).save(file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Next demo")
    add = stage.add_argument
    add("--model", type=Path, help="Next-DiT checkpoint to start from (default: an untrained one of the demo's size)")
    for name, words in SHAPE.items():
        add(f"--{name.replace('_', '-')}", type=int, help=f"{words}, of an untrained one (default: the demo's)")
    add("--train-pixels", type=int, choices=BUCKETS_OF, default=64, help="side of the largest emoji at plain positions")
    add("--images", type=Path, help="folder of images with .txt captions (default: the prepared emoji)")
    add("--sizes", help="HEIGHTxWIDTH,… in pixels: of --images (default 64x64), or some of the demo's (default all)")
    add("--tokens", type=int, default=6144, help="image tokens a batch")
    add("--checkpoint-gradients", action="store_true", help="recompute layers backwards: less memory, more time")
    return stage.parse_args(arguments)


def make_trainer(options: argparse.Namespace, family: Family = FAMILY) -> Trainer:
    """Build a model of a family, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    encoder = load_text_encoder(options.text_encoder, device=options.device, dtype=torch.float32)
    if options.model:
        model = load_model(options.model, dtype=torch.float32, family=family.name)
    else:
        chosen = {name: getattr(options, name) for name in SHAPE if getattr(options, name) is not None}
        model = initialise(family.network(replace(demo_config(encoder.width), **chosen)))
    check_pixels(model, options.model)
    patch = model.config.patch_size
    sizes = tuple((int(h), int(w)) for h, w in (size.split("x") for size in (options.sizes or "").split(",") if size))
    batches: Batches
    if options.images:
        batches = FolderBatches(options.images, sizes or ((64, 64),), options.tokens, patch, options.seed)
    else:
        pixels = options.train_pixels
        buckets = tuple(b for b in BUCKETS_OF[pixels] if not sizes or (b.height, b.width) in sizes)
        batches = EmojiBatches(options.cache, options.tokens, patch, options.seed, buckets, pixels, options.device)
    return start(model, ImageTask(encoder, options), batches, options)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
