"""Score a multi-view checkpoint on held-out objects: `python -m lumina_next.benchmarks.views`.

Renders the objects (`pip install trimesh embreex`), draws views of each from one image, from its caption and from both,
and compares every view with the true render at its azimuth. Writes benchmarks/results/views.*, docs/pictures/views.webp
and the tables in docs/multi_view.md; under another --name the document stays as it is.
"""

import argparse
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...nextdit import ContextDrop, MultiViewNextDiT, load_model
from ...nextdit.layers.attend import default_attend
from ...nextdit.text import TextEncoder, load_text_encoder
from ...pipelines.sampling import Sampling, noise
from ...pipelines.views import sample_views
from ...training.data.batches import TRAIN_PIXELS
from ...training.data.objects.view_batches import to_size
from ...training.data.objects.views import TEST_VIEWS, held_out_views
from ...training.loop.attention import within_frames
from ..shared.flops import views_flops
from ..shared.metrics import edge_distance, mean, perceptual, psnr, rate
from ..shared.options import ROOT, add_redraw
from ..shared.report import (
    brief,
    fill_document,
    measured_with,
    settings_text,
    stored_results,
    write_grid,
    write_results,
)
from ..shared.timing import CLOCKS, peak_bytes
from ..shared.truth import DEMO

FIRST, VIEWS = 30.0, 8  # the ring of azimuths, in degrees; the image's own, 0, is none of them
NUMBERS = (1, 2, 4, 6, 8, 12, 18)
EVERY = 360 / TEST_VIEWS
SHOWN = ("drawn from", "azimuth within 15°", "psnr", "perceptual", "edges")  # the columns in docs/multi_view.md
SHOWN_NUMBERS = ("views", "context drop", "azimuth within 15°", "seconds", "memory, MB")
SHOWN_PIXELS = 96  # a side of a view in the picture
Row = dict[str, Any]


@dataclass(frozen=True)
class Held:
    """Held-out objects: captions, images (B, 3, S, S) at azimuth 0, any elevation, and true views (B, V, 3, S, S)."""

    captions: list[str]
    images: Tensor
    true: Tensor

    def at(self, azimuths: Tensor) -> Tensor:
        """Return the true views (B, N, 3, S, S) at azimuths (N,), multiples of EVERY degrees."""
        return self.true[:, numbers(azimuths)]

    def nearest(self, views: Tensor) -> Tensor:
        """Return the number (B, N) of the true view of its object that each of views (B, N, 3, S, S) is nearest to."""
        flat = self.true.flatten(2)
        return torch.stack([torch.cdist(row.flatten(1), true).argmin(1) for row, true in zip(views, flat, strict=True)])


def numbers(azimuths: Tensor) -> Tensor:
    return (azimuths / EVERY).round().long() % TEST_VIEWS


def held_out(count: int, size: int) -> Held:
    """Render the first `count` held-out objects at 64 px and shrink them to `size`, as training does."""
    rendered = [held_out_views(i, TRAIN_PIXELS) for i in tqdm(range(count), desc="objects", unit="object")]
    images = to_size(np.stack([images[1] for _, _, images in rendered]), size)
    true = to_size(np.stack([views for _, views, _ in rendered]), size)
    return Held([record.caption for record, _, _ in rendered], images, true)


def ring(count: int, first: float = FIRST) -> Tensor:
    """Return azimuths (count,) around the object, rounded to those that were rendered."""
    even = first + torch.arange(count) * 360 / count
    return (even / EVERY).round() * EVERY % 360


def within(found: Tensor, wanted: Tensor) -> Tensor:
    """Tell which numbers of views are next to the wanted ones, or these: an azimuth within EVERY degrees."""
    off = (found - wanted) % TEST_VIEWS
    return (off <= 1) | (off >= TEST_VIEWS - 1)


def measures(held: Held, views: Tensor, azimuths: Tensor, relative: bool = False) -> Row:
    """Return how views (B, N, 3, S, S) score; `relative` takes azimuths from where view 0 seems to be."""
    found, wanted = held.nearest(views), numbers(azimuths)
    if relative:
        return {"azimuth within 15°": rate(within(found[:, 1:] - found[:, :1], wanted[1:] - wanted[0]).flatten())}
    true = held.at(azimuths).flatten(0, 1)
    flat = views.flatten(0, 1)
    return {
        "azimuth within 15°": rate(within(found, wanted).flatten()),
        "psnr": mean(psnr(flat, true)),
        "perceptual": mean(perceptual(flat, true)),
        "edges": mean(edge_distance(flat, true)),
    }


class Sampler:
    """Draws views of held-out objects with the run's options, some objects at once."""

    def __init__(self, encoder: TextEncoder, held: Held, options: argparse.Namespace):
        self.encoder, self.held, self.options = encoder, held, options

    def __call__(
        self,
        model: MultiViewNextDiT,
        azimuths: Tensor,
        count: int,
        *,
        image: bool | Tensor = True,
        text: bool = False,
        **more: Any,
    ) -> Tensor:
        """Return views (count, N, 3, S, S) in float32 of the first `count` objects, from their images or others."""
        size, drawn = self.held.images.shape[-1], []
        images = image if isinstance(image, Tensor) else self.held.images if image else None
        for start in range(0, count, self.options.batch):
            rows = range(start, min(start + self.options.batch, count))
            x = noise([1000 * row + view for row in rows for view in range(len(azimuths))], size, size)
            prompts = [self.held.captions[row] if text else "" for row in rows]
            views = sample_views(
                model,
                self.encoder,
                prompts,
                azimuths.expand(len(rows), -1),
                x.unflatten(0, (len(rows), -1)),
                Sampling(self.options.steps, "uniform", cfg=self.options.text_guidance),
                image=None if images is None else images[rows],
                image_cfg=self.options.image_guidance,
                **more,
            )
            drawn.append(views.float().cpu())
        return torch.cat(drawn)


def sources(sample: Sampler, models: dict[str, MultiViewNextDiT], count: int) -> tuple[list[Row], Tensor]:
    """Return a row for every way to ask and every ablation, and the views that the whole model drew from the images."""
    held, azimuths, model = sample.held, ring(VIEWS), models["whole"]
    copied = held.images[:, None].expand(-1, VIEWS, -1, -1, -1)
    rows: list[Row] = [{"drawn from": "the image itself, in every view", **measures(held, copied, azimuths)}]
    alone = sample(model, azimuths, count)
    rows.append({"drawn from": "image", **measures(held, alone, azimuths)})
    both = sample(model, azimuths, count, text=True)
    rows.append({"drawn from": "image and caption", **measures(held, both, azimuths)})
    if "no azimuth" in models:
        views = sample(models["no azimuth"], torch.zeros_like(azimuths), count)
        rows.append({"drawn from": "image, trained without azimuths", **measures(held, views, azimuths)})
    if "no cross-view" in models:
        views = sample(
            models["no cross-view"], azimuths, count, text=True, attend=partial(within_frames, default_attend)
        )
        rows.append(
            {"drawn from": "image and caption, trained without cross-view attention"} | measures(held, views, azimuths)
        )
    return rows, alone


def captions(sample: Sampler, model: MultiViewNextDiT, count: int) -> list[Row]:
    """Return rows of views from captions alone, which leave shape and first azimuth open: at once and in two runs."""
    azimuths = ring(VIEWS)
    views = sample(model, azimuths, count, image=False, text=True)
    first = sample(model, torch.zeros(1), count, image=False, text=True)[:, 0].clamp(-1, 1)
    others = sample(model, azimuths, count, image=first, text=True)
    found = {"caption": views, "caption: one view first, then from that and the caption": others}
    return [{"drawn from": how, **measures(sample.held, x, azimuths, relative=True)} for how, x in found.items()]


def sizes(sample: Sampler, model: MultiViewNextDiT, count: int) -> list[Row]:
    """Return quality, the processor's seconds and memory by the number of views, with and without context drop."""
    rows: list[Row] = []
    size = sample.held.images.shape[-1]
    for number in tqdm(NUMBERS, desc="views"):
        for drop in (None, ContextDrop(2, "linear")) if number in (8, 18) else (None,):
            azimuths = ring(number)
            sample(model, azimuths, 1, drop=drop)
            began = CLOCKS["cpu"]()
            views = sample(model, azimuths, count, drop=drop)
            seconds = (CLOCKS["cpu"]() - began) / count
            evaluations = sample.options.steps * (1 if sample.options.image_guidance == 1 else 2)
            scored = measures(sample.held, views, azimuths)
            rows.append({"views": number, "context drop": drop is not None and "2 × 2, linear" or "none"})
            rows[-1] |= {key: scored[key] for key in ("azimuth within 15°", "psnr", "perceptual")}
            rows[-1] |= {"seconds": seconds, "seconds a view": seconds / number}
            rows[-1] |= {"÷ 1 view": rows[-1]["seconds a view"] / rows[0]["seconds a view"]}
            rows[-1] |= {"operations a view ÷ 1 view": operations(model, number, size) / operations(model, 1, size)}
            rows[-1] |= {"memory, MB": peak_memory(sample, model, azimuths, drop) / 1e6, "evaluations": evaluations}
    return rows


def operations(model: MultiViewNextDiT, views: int, size: int) -> float:
    """Return the network's operations a view, without context drop: with the image's frame once, and once without."""
    grid = (size // model.config.patch_size,) * 2
    return sum(views_flops(model.config, grid, frames, text=1) for frames in (views + 1, views)) / views


def peak_memory(sample: Sampler, model: MultiViewNextDiT, azimuths: Tensor, drop: ContextDrop | None) -> int:
    """Return the most memory that one evaluation of the network takes beside its weights."""
    weight = model.x_embedder.weight
    x = torch.zeros(1, len(azimuths), *sample.held.images.shape[1:]).to(weight)
    text = torch.zeros(1, 1, model.config.text_dim).to(weight)
    with torch.inference_mode():
        return peak_bytes(
            lambda: model(x, torch.zeros(1), azimuths[None], text, image=x[:, 0], drop=drop), weight.device
        )


def picture(file: Path, held: Held, views: Tensor, count: int = 4) -> None:
    """Write objects as rows: the image and the drawn views, below them the true views."""
    true, rows = held.at(ring(VIEWS)), {}
    for i in range(min(count, len(views))):
        for name, x in (("drawn", views), ("true", true)):
            rows[f"{name}\t{i}"] = torch.cat([held.images[i : i + 1], x[i]])
    write_grid(file, rows, VIEWS + 1, enlarge=max(1, SHOWN_PIXELS // held.images.shape[-1]))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo-multiview.safetensors")
    add("--no-azimuth", type=Path, help="checkpoint trained with training.multiview --no-azimuth")
    add("--no-cross-view", type=Path, help="checkpoint trained with training.multiview --no-cross-view")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--objects", type=int, default=64)
    add("--fewer", type=int, default=16, help="objects for the table of numbers of views")
    add("--size", type=int, default=32, choices=(16, 32, 64), help="pixels a side of a view, as in training")
    add("--steps", type=int, default=10)
    add("--image-guidance", type=float, default=3.0)
    add("--text-guidance", type=float, default=2.0)
    add("--batch", type=int, default=4, help="objects at once")
    add("--device", default="cpu")
    add("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    add("--sections", nargs="*", choices=("sources", "captions", "numbers"), default=["sources", "captions", "numbers"])
    add("--name", default="views", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "multi_view.md", help="whose tables are filled in")
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options, began = parse(arguments), time.monotonic()
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    torch.set_num_threads(1)  # the processor's seconds are then those of the work
    files = {"whole": options.model, "no azimuth": options.no_azimuth, "no cross-view": options.no_cross_view}
    how = {"dtype": getattr(torch, options.dtype), "device": options.device}
    models = {name: load_model(file, **how).eval() for name, file in files.items() if file}
    sample = Sampler(load_text_encoder(options.text_encoder, **how), held_out(options.objects, options.size), options)
    found: dict[str, list[Row]] = {}
    if "sources" in options.sections:
        found["Held-out objects"], views = sources(sample, models, options.objects)
        picture(options.pictures / f"{options.name}.webp", sample.held, views)
    if "captions" in options.sections:
        found["From a caption"] = captions(sample, models["whole"], options.objects)
    if "numbers" in options.sections:
        fewer = Held(*(part[: options.fewer] for part in vars(sample.held).values()))
        found["Numbers of views"] = sizes(Sampler(sample.encoder, fewer, options), models["whole"], options.fewer)
    kept = ("objects", "fewer", "size", "steps", "image_guidance", "text_guidance", "dtype")
    settings = {"model": options.model.name} | {key: getattr(options, key) for key in kept}
    settings["seconds"] = round(time.monotonic() - began)
    publish(options, settings, found)


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results, and the document's tables."""
    write_results(options.results, options.name, settings, found, heading="Multi-view")
    if options.name == "views":
        tables = {title: brief(rows, SHOWN_NUMBERS if "views" in rows[0] else SHOWN) for title, rows in found.items()}
        how = measured_with(settings_text(settings))
        fill_document(options.document, {title: f"{shown}\n\n{how}" for title, shown in tables.items()})
