"""Count how often each region of a picture shows its own prompt: `python -m lumina_next.benchmarks.regions`.

Writes benchmarks/results/regions.md and .json, the tables in docs/regions.md, and picture grids to docs/pictures/.
"""

import argparse
import random
import re
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ...nextdit import Call
from ...nextdit.layers.attend import default_attend
from ...nextdit.region_areas import paint_areas
from ...nextdit.regions import Region, Regions
from ...nextdit.span import NEVER, Span
from ...nextdit.text import load_text_encoder
from ...pipelines.sampling import noise
from ..shared.comfyui import add_comfyui
from ..shared.metrics import mean, rate
from ..shared.networks import open_network, trained_pixels
from ..shared.options import add_redraw, run_on
from ..shared.report import (
    brief,
    fill_document,
    measured_with,
    settings_text,
    stored_results,
    write_grid,
    write_results,
)
from ..shared.sections import Bench
from ..shared.truth import DEMO, Truth
from .layouts import INSET, LAYOUTS, Inset, Layout

ROOT = Path(__file__).parents[2]
NEXT_SEEDS = 10_000  # between one noise of a picture and the next
Texts = list[tuple[Tensor, Tensor]]
"""Features (B, L, D) and mask (B, L): of the global prompts, then of each region's."""
Velocity = Callable[[Tensor, Tensor], Tensor]
SEAMS = "seams"


def one_prompt(model, layout: Layout, texts: Texts) -> Velocity:
    """The global prompt alone."""
    return lambda x, t: model(x, t, *texts[0])


def stock_masks(model, layout: Layout, texts: Texts) -> Velocity:
    """What Conditioning (Set Mask) computes: every prompt on the whole picture, velocities mixed by the masks."""
    masks = layout.masks().to(texts[0][0].device)
    return lambda x, t: sum(masks[:, i : i + 1] * model(x, t, *text) for i, text in enumerate(texts[1:]))


def stock_areas(model, layout: Layout, texts: Texts) -> Velocity:
    """What Conditioning (Set Area) computes on areas that do not overlap: pictures apart from one another."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        cells = zip(layout.cells(x), texts[1:], strict=True)
        return layout.join([model(cell, t, *text) for cell, text in cells])

    return velocity


def regional(model, layout: Layout, texts: Texts, masks: Tensor | None = None, **settings: Any) -> Velocity:
    """Regions inside attention."""
    masks = layout.masks() if masks is None else masks
    if hasattr(model, "regional"):  # one of core's, which the pack patches
        return model.regional(texts, masks, **settings)
    text, mask = (torch.cat(parts, dim=1) for parts in zip(*texts, strict=True))
    lengths = [features.shape[1] for features, _ in texts]
    weight, until = settings.pop("global_weight", 0.0), settings.pop("areas_until", 0.0)
    parts = tuple(Region(n, global_weight=weight) for n in lengths[1:])
    regions = Regions(lengths[0], parts, areas=Span(0.0, until) if until else NEVER, **settings)
    masks = masks.to(text.device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        if regions.areas.contains(float(t[0])):
            areas = regions.areas_at(masks, t[:1], model.config.patch_size)
            return paint_areas(x, areas, lambda i, box: model(box, t, *texts[i]))
        weights = regions.weights(masks, t, model.config.patch_size)
        cross, pooled = regions.cross(weights, default_attend), regions.pooled(text, mask)
        return model.velocity(x.to(text.dtype), t, text, mask, Call(cross=cross, pooled=pooled)).to(x.dtype)

    return velocity


def reference(model, layout: Layout, texts: Texts) -> Velocity:
    """The reference's maths for regions inside attention, without its mix-up of cells."""
    return regional(model, layout, texts, summed=True)


def with_global(model, layout: Layout, texts: Texts) -> Velocity:
    """Regions inside attention that leave 30 % to the global prompt."""
    return regional(model, layout, texts, global_weight=0.3)


def areas_first(model, layout: Layout, texts: Texts) -> Velocity:
    """Each region a picture of its own for 30 % of the sampling, regions inside attention after that."""
    return regional(model, layout, texts, areas_until=0.3)


def rest_too(model, layout: Layout, texts: Texts) -> Velocity:
    """The same, and the part of the picture to the left of a small region a region of the global prompt."""
    assert isinstance(layout, Inset)
    masks = torch.cat([layout.beside(), layout.masks()], dim=1)
    return regional(model, layout, [texts[0], *texts], masks, areas_until=0.3)


IN_A_PICTURE = "Regional Prompt, the rest a region too"
REFERENCE = ("regions, reference maths",)
METHODS = {
    "one prompt": one_prompt,
    "stock Set Mask": stock_masks,
    "stock Set Area": stock_areas,
    "regions, reference maths": reference,
    "Regional Prompt": areas_first,
    IN_A_PICTURE: rest_too,
    "Regional Prompt, areas_until 0": regional,
    "Regional Prompt, areas_until 0, global_weight 0.3": with_global,
}
OTHER_LAYOUTS = ("one prompt", "stock Set Area", "Regional Prompt", "Regional Prompt, areas_until 0")
IN_ONE = ("one prompt", "Regional Prompt", IN_A_PICTURE, "Regional Prompt, areas_until 0")  # one region in a picture


@torch.inference_mode()
def draw(bench: Bench, layout: Layout, method: Callable[..., Velocity], pictures: list[list[int]], first=0) -> Tensor:
    """Return samples (N, 3, H, W) of pictures, each a list of a concept a cell; picture i has seed first + i."""
    drawn = []
    for start in range(0, len(pictures), bench.batch):
        part = pictures[start : start + bench.batch]
        named = [layout.texts([bench.truth.name(i, "en") for i in picture]) for picture in part]
        prompts = list(map(list, zip(*named, strict=True)))
        dtype = bench.model.x_embedder.weight.dtype
        texts = [(text.to(dtype), mask.bool()) for text, mask in map(bench.encoder, prompts)]
        empty, empty_mask = bench.encoder([""] * len(part))
        positive = method(bench.model, layout, texts)
        nothing = [(empty.to(dtype), empty_mask.bool())] * len(prompts)
        negative = (method if method is stock_areas else one_prompt)(bench.model, layout, nothing)

        def velocity(x: Tensor, t: Tensor, positive=positive, negative=negative) -> Tensor:
            t = t.to(x.device).expand(len(x))
            return bench.sampling.guide(positive(x, t), negative(x, t))

        x = noise(range(first + start, first + start + len(part)), *layout.size).to(bench.device)
        drawn.append(bench.sampling.follow(velocity, x).cpu())
    return torch.cat(drawn).float()


def measure(bench: Bench, layout: Layout, method: str, count: int) -> dict[str, Any]:
    """Draw `count` random pictures and say in how many regions the nearest picture of all is the one asked for."""
    chooser = random.Random(0)
    pictures = [chooser.sample(bench.truth.concepts, layout.count) for _ in range(count)]
    each = [draw(bench, layout, METHODS[method], pictures, NEXT_SEEDS * seed) for seed in range(bench.seeds)]
    samples = bench.pictures[f"{layout.name}, {method}"] = torch.cat(each)
    found = torch.stack([bench.truth.nearest(cell) for cell in layout.cells(samples)], dim=1)
    right = found == torch.tensor(pictures * bench.seeds)
    rates: dict[str, Any] = {"regions right, %": rate(right.flatten()), "all of a picture, %": rate(right.all(1))}
    if bench.seeds > 1:
        shares = right.all(1).float().view(bench.seeds, -1).mean(1)
        rates["by seed"] = " ".join(f"{100 * share:.0f}" for share in shares)
    return {"method": method} | rates


def seam(layout: Layout, samples: Tensor) -> dict[str, float]:
    """Return how much pictures (N, 3, H, W) in [-1, 1] change across the borders of the regions, in levels of 255."""
    return mean(127.5 * layout.borders(samples.clamp(-1.0, 1.0)))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--pictures", type=int, default=100, help="random pictures a row")
    add("--seeds", type=int, default=1, help="noises a picture")
    add("--batch", type=int, default=10, help="pictures at once")
    add("--steps", type=int, default=10)
    add("--guidance", type=float, default=4.0)
    add("--device", default="cpu")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="what the networks compute in")
    add("--layouts", nargs="*", help="patterns of the names of the layouts to draw (default: all)")
    add("--methods", nargs="*", help="patterns of the names of the methods to run (default: all)")
    add(
        "--name", default="regions", help="of the files in --results and --grids; under another the page stays as it is"
    )
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--grids", type=Path, default=ROOT / "docs" / "pictures", help="where picture grids go")
    add("--page", type=Path, default=ROOT / "docs" / "regions.md", help="whose tables are replaced")
    add_comfyui(parser)
    add_redraw(parser)
    return parser.parse_args(arguments)


def rows_of(options: argparse.Namespace) -> list[tuple[Layout, str]]:
    """Return which layouts are drawn how: all methods side by side, fewer in the others, only those asked for."""

    def wanted(words: list[str] | None, name: str) -> bool:
        return not words or any(re.search(word, name, re.IGNORECASE) for word in words)

    def methods(layout: Layout) -> Collection[str]:
        whole = [name for name in METHODS if name != IN_A_PICTURE]
        return IN_ONE if layout is INSET else whole if layout is LAYOUTS[0] else OTHER_LAYOUTS

    every = [(layout, m) for layout in LAYOUTS for m in METHODS if m in methods(layout)]
    return [(layout, m) for layout, m in every if wanted(options.layouts, layout.name) and wanted(options.methods, m)]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    dtype = getattr(torch, options.dtype)
    model = open_network(options.model, options.comfyui, dtype, options.device)
    encoder = load_text_encoder(options.text_encoder, dtype=dtype, device=options.device)
    bench = Bench(
        model, encoder, Truth(known=getattr(model, "known", 0)), options.steps, options.guidance, batch=options.batch
    )
    bench = replace(bench, seeds=options.seeds)
    settings = {name: getattr(options, name) for name in ("pictures", "seeds", "steps", "guidance", "dtype")}
    settings = {"model": options.model.name} | settings | run_on(bench.device)
    results: dict[str, list[dict[str, Any]]] = {}
    start = time.monotonic()
    core = hasattr(model, "regional")  # one of core's: trained on words for places, and without the reference's maths
    rows = [(layout, m) for layout, m in rows_of(options) if (layout is not INSET if not core else m not in REFERENCE)]
    for layout, method in (progress := tqdm(rows)):
        layout = replace(layout, side=trained_pixels(options.model, model.config.patch_size))
        progress.set_postfix_str(f"{layout.name}, {method}")
        results.setdefault(layout.name, []).append(measure(bench, layout, method, options.pictures))
        seams = {
            "layout": layout.name,
            "method": method,
            "seam": seam(layout, bench.pictures[f"{layout.name}, {method}"]),
        }
        results[SEAMS] = [*results.pop(SEAMS, []), seams]  # the last section
        settings["seconds"] = round(time.monotonic() - start)
        write_results(options.results, options.name, settings, results)
    publish(options, settings, results)
    for layout in LAYOUTS:
        own = f"{layout.name}, "
        drawn = {name.removeprefix(own): x for name, x in bench.pictures.items() if name.startswith(own)}
        if drawn:
            shape = "small" if layout is INSET else f"{layout.rows}x{layout.columns}"
            name = f"{options.name}-{shape}.webp"
            write_grid(options.grids / name, drawn, min(6, *(len(samples) for samples in drawn.values())))


def publish(options: argparse.Namespace, settings: dict[str, Any], results: dict[str, list[dict[str, Any]]]) -> None:
    """Write the results, and the page's tables."""
    write_results(options.results, options.name, settings, results)
    if options.name != "regions":
        return
    tables = {name: brief(rows) for name, rows in results.items()}
    fill_document(options.page, {"settings": measured_with(settings_text(settings))} | tables)
