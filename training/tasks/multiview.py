"""Stage 3 of multi-view, `python -m lumina_next.training.tasks.multiview`: views of rendered objects at given azimuths.

Starts from a text-to-image checkpoint (`--model`) and trains on what `training.data.objects.views` rendered. Stops
after `--minutes` and goes on from the next step when called again with the same `--run`.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...nextdit import Call, MultiViewNextDiT, Views, load_model
from ...nextdit.families import family_of
from ...nextdit.layers.attend import Attend, default_attend
from ...nextdit.text import TextEncoder, load_text_encoder
from ...pipelines.sampling import Sampling
from ...pipelines.views import sample_views
from ..data.batches import TRAIN_PIXELS
from ..data.emoji.pictures import to_pixels
from ..data.objects.view_batches import Objects, ViewBatch, ViewBatches, ViewBucket, to_size, view_buckets
from ..loop.attention import folded_attention, within_frames
from ..loop.flow import flow_loss
from ..loop.text import CachedTexts
from ..loop.trainer import Trainer, check_pixels, parser, run_stage, start

SHOWN = 3  # held-out objects in a picture of samples


class MultiViewTask:
    """Views of objects, from captions and condition images, or without azimuths or cross-view attention."""

    def __init__(self, encoder: TextEncoder, options: argparse.Namespace, held_out: Objects | None):
        self.encoder, self.options, self.held_out = encoder, options, held_out
        self.texts = CachedTexts(encoder, torch.device(options.device))

    def attention(self, frames: int) -> tuple[Attend, Attend]:
        """Return what attends to the frames and what to the text."""
        attend = folded_attention if self.texts.device.type == "cpu" else default_attend
        return (attend if self.options.cross_view else within_frames(attend, frames)), attend

    def azimuths(self, azimuths: Tensor) -> Tensor:
        """Return azimuths as the model is to see them."""
        return (
            azimuths.to(self.texts.device) if self.options.azimuth else torch.zeros_like(azimuths).to(self.texts.device)
        )

    def loss(self, model: MultiViewNextDiT, batch: ViewBatch, generator: torch.Generator) -> Tensor:
        device = self.texts.device
        text, mask = self.texts(batch.prompts)
        images = None if batch.images is None else batch.images.to(device)
        attend, cross = self.attention(batch.views.shape[1] + (images is not None))
        azimuths = self.azimuths(batch.azimuths)
        call = Call(attend=attend, cross=cross, positions=[p.to(device) for p in batch.positions])

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return model.velocity(Views(x, azimuths, images), t, text, mask, call)

        # a compilation takes as long as many steps
        with torch.compiler.set_stance("default" if batch.common else "force_eager"):
            return flow_loss(velocity, batch.views.to(device), generator, batch.centre)

    def about(self, model: MultiViewNextDiT) -> dict[str, str]:
        return {"train_tokens": str(self.options.size // model.config.patch_size), "max_views": "8", "elevation": "20"}

    def show(self, model: MultiViewNextDiT, file: Path, spent: float) -> None:
        """Draw SHOWN held-out objects from their image alone: a row of 8 views each, the true ones below."""
        if self.held_out is None:
            return
        full = self.options.size
        quarter, half = self.options.small
        buckets = view_buckets(quarter, half, full)
        size = next(bucket.size for bucket in buckets if min(spent, 1.0) <= bucket.ends)
        chosen = slice(0, SHOWN)
        images = to_size(self.held_out.images[chosen, 0], size)
        every = self.held_out.views.shape[1] // 8
        true = to_size(self.held_out.views[chosen, ::every][:, :8], size)
        azimuths = torch.from_numpy(self.held_out.azimuths[chosen, ::every][:, :8])
        x = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
        drawn = sample_views(
            model.bfloat16(),
            self.encoder,
            [""] * len(true),
            self.azimuths(azimuths),
            x,
            Sampling(10, "uniform", cfg=1.0),
            image=images,
            image_cfg=2.0,
            attend=lambda frames: default_attend if self.options.cross_view else within_frames(default_attend, frames),
            positions=ViewBucket(8, size, 1.0, full=full).positions(model.config.patch_size),
        )
        rows = [
            torch.cat([image, *views], dim=-1)
            for image, *pair in zip(images, drawn.float().cpu(), true, strict=True)
            for views in pair
        ]
        Image.fromarray(to_pixels(torch.cat(rows, dim=-2)[None])[0]).save(file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Next multi-view demo")
    add = stage.add_argument
    add("--model", type=Path, required=True, help="text-to-image or multi-view checkpoint to start from")
    add("--rope-axes", type=int, choices=(2, 3), default=2, help="3: the view's number is an axis of RoPE, too")
    add("--size", type=int, choices=(16, 32, 64), default=TRAIN_PIXELS, help="pixels a side of a view")
    add("--tokens", type=int, default=4096, help="tokens of all frames a batch")
    add(
        "--small",
        type=float,
        nargs=2,
        default=(0.25, 0.6),
        metavar=("QUARTER", "HALF"),
        help="until which parts of the run (0 to 1) it trains at a quarter and at half of the size",
    )
    add("--azimuth", action=argparse.BooleanOptionalAction, default=True, help="--no-azimuth: the ablation without")
    add(
        "--cross-view",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-cross-view: the ablation without",
    )
    return stage.parse_args(arguments)


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    encoder = load_text_encoder(options.text_encoder, device=options.device, dtype=torch.float32)
    model = load_model(options.model, dtype=torch.float32)
    if family_of(model).name == "image":
        model = MultiViewNextDiT.from_image_model(model, rope_axes=options.rope_axes)
    check_pixels(model, options.model)
    quarter, half = options.small
    batches = ViewBatches(
        Objects(options.cache),
        options.tokens,
        model.config.patch_size,
        options.seed,
        view_buckets(quarter, half, options.size),
    )
    held_out = Objects(options.cache, held_out=True) if options.samples else None
    return start(model, MultiViewTask(encoder, options, held_out), batches, options)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
