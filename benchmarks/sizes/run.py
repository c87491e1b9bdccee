"""Score every RoPE method above the training size: `python -m lumina_next.benchmarks.sizes`.

Writes benchmarks/results/sizes.*, picture grids, and the table of 2× in docs/larger_sizes.md; sizes that are not asked
for keep what an earlier run found. Also the search for a method's options:
`--name search --sizes 2× --rope interpolation time_aware_late time_aware_late,return_from=0.5 …`, where
`proportional` and `per_axis` can follow a method too, and `dominant` is one that is measured only (rivals.py); under
another name the document stays as it is.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...nextdit import RopeScaling
from ...nextdit.layers.rope_scaling import DEFAULT, METHODS, TIME_AWARE_LATE, scale_factor
from ...options import named_values
from ..shared.bars import AGAIN, BICUBIC, size_bars
from ..shared.metrics import mean, objects
from ..shared.options import ROOT, add_options, open_bench
from ..shared.report import (
    brief,
    fill_document,
    measured_with,
    settings_text,
    stored_results,
    write_grid,
    write_results,
)
from ..shared.sections import Bench, Row, summary
from .rivals import rivals

SIZES = {"1.5×": (96, 96), "2×": (128, 128), "3×": (192, 192), "4×": (256, 256), "1:2": (64, 128), "1:4": (64, 256)}
PROMPTS = ("12", "2×=104", "4×=4")
SHOWN = 8, 512  # pictures a row of a grid at most, and pixels
SUMMARY = "2×"  # the size of the picture and the table that show a user what to do
SHOWN_COLUMNS = ("method", "identity", "psnr", "edges", "sharpness")  # the columns in docs/larger_sizes.md
SHOWN_ROWS = {  # and the rows, by what they are called there
    BICUBIC: "1× sample, enlarged",
    "extrapolation": "no scaling",
    **{name: name for name in ("interpolation", "ntk_aware", "time_aware", TIME_AWARE_LATE)},
    f"{AGAIN}, {TIME_AWARE_LATE}": f"two passes, {TIME_AWARE_LATE}",
}
DIFFERENCES = (  # picture by picture: to which row, of which measure, and what the column is called
    (TIME_AWARE_LATE, "perceptual", "above default"),
    (TIME_AWARE_LATE, "edges", "edges above default"),
    (BICUBIC, "perceptual", "above bicubic"),
)
BEGIN, PASS_STEPS = 0.7, 3  # when the passes after the first begin (t), and their steps; in ComfyUI a denoise of 0.3


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name="sizes")
    add = parser.add_argument
    add("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    add(
        "--rope",
        nargs="*",
        default=[x for x in METHODS if x != DEFAULT],
        help="METHOD[,key=number…][,proportional][,per_axis]",
    )
    add("--prompts", nargs="*", default=PROMPTS, help="how many; SIZE=number for one size (default: %(default)s)")
    add("--document", type=Path, default=ROOT / "docs" / "larger_sizes.md", help="whose tables are filled in")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    said, results = stored_results(options.results, options.name, needed=options.redraw)
    if options.redraw:
        return publish(options, said, results, results)
    bench, settings = open_bench(options)
    for size in (progress := tqdm(options.sizes)):
        progress.set_postfix_str(size)
        specs = options.rope if size.endswith("×") else wide_specs(options.rope)
        start, count = time.monotonic(), prompt_count(options.prompts, size)
        with rivals():
            results[size] = measure(bench, size, specs, count)
        said[size] = settings_text(settings | {"prompts": count, "seconds": round(time.monotonic() - start)})
        results = {key: results[key] for key in SIZES if key in results}
        publish(options, said, results, [size])
        drawn = bench.pictures.items()
        draw_grids(options, size, {key.removeprefix(f"{size} "): x for key, x in drawn if key.startswith(f"{size} ")})


def publish(options: argparse.Namespace, said: dict[str, str], results: dict[str, Any], fresh: Iterable[str]) -> None:
    """Write the results, and the document's table if that size is among the `fresh` ones."""
    write_results(options.results, options.name, said, results, size_bars(results))
    if options.name == "sizes" and SUMMARY in fresh:
        found = results[SUMMARY]
        rows = [x | {"method": SHOWN_ROWS[x["method"]]} for x in found if x["method"] in SHOWN_ROWS]
        shown = brief(rows or found, SHOWN_COLUMNS)
        fill_document(options.document, {SUMMARY: f"{shown}\n\n{measured_with(said[SUMMARY])}"})


def draw_grids(options: argparse.Namespace, size: str, drawn: dict[str, Tensor]) -> None:
    """Write the grid of all methods at a size, and at one size the few rows that show what to do."""
    columns = min(SHOWN[0], SHOWN[1] // SIZES[size][1])
    write_grid(options.pictures / f"{options.name}-{size.replace('×', 'x').replace(':', '-')}.webp", drawn, columns)
    if size == SUMMARY:
        labels = {
            "true": "the true picture",
            "extrapolation": "no scaling",
            TIME_AWARE_LATE: "Scaled RoPE, one pass",
        }
        labels[f"{AGAIN}, {TIME_AWARE_LATE}"] = "Scaled RoPE, two passes"
        rows = {label: drawn[key] for key, label in labels.items() if key in drawn}
        write_grid(options.pictures / f"{options.name}.webp", rows, columns)


def prompt_count(texts: list[str], size: str) -> int:
    """Return how many prompts a size gets of `number` and `SIZE=number`. Raises ValueError if that is not told."""
    counts = dict(text.rpartition("=")[::2] for text in texts)
    if size not in counts and "" not in counts:
        raise ValueError(f"--prompts {' '.join(texts)} does not say how many for {size}; add a number for all sizes")
    return int(counts.get(size, counts.get("", 0)))


def wide_specs(specs: list[str]) -> list[str]:
    """Return the methods with one factor for the area, then those that change with a factor per axis."""
    return [*specs, *(f"{spec},per_axis" for spec in specs if spec != "extrapolation" and "per_axis" not in spec)]


def scaling(spec: str, height: int, width: int, bench: Bench) -> RopeScaling:
    """Return the scaling METHOD[,key=number…][,proportional][,per_axis] for a picture of this size in pixels."""
    flags = {part for part in spec.split(",")[1:] if part in ("proportional", "per_axis")}
    name, values = named_values("--rope", ",".join(part for part in spec.split(",") if part not in flags))
    patch = bench.model.config.patch_size
    factor = scale_factor((height // patch, width // patch), bench.train_tokens, "per_axis" in flags)
    return RopeScaling(name, factor, bench.train_tokens, proportional="proportional" in flags, **values)


def measure(bench: Bench, size: str, specs: list[str], count: int) -> list[Row]:
    """Return a row for each method.

    Before them, for square pictures, two of the model's own 1× sample enlarged; after them two of that sample drawn
    over, a second pass.
    """
    height, width = (bench.scaled(side) for side in SIZES[size])
    prompts, concepts = bench.truth.prompts(count)
    drawn: dict[str, tuple[Tensor, float]] = {}
    bench.pictures[f"{size} true"] = alone(bench.truth.pictures(height)[torch.tensor(concepts)], width)
    if height == width:
        small, seconds = timed(bench, prompts, bench.base, bench.base)
        for mode in ("bicubic", "nearest"):
            corners = {"align_corners": False} if mode == "bicubic" else {}
            drawn[f"1× sample, {mode}"] = F.interpolate(small, (height, width), mode=mode, **corners), seconds
    for spec in specs:
        drawn[spec] = timed(bench, prompts, height, width, rope=scaling(spec, height, width, bench))
    if height == width:
        for spec in (name for name in ("interpolation", TIME_AWARE_LATE) if name in specs):
            drawn[f"{AGAIN}, {spec}"] = passes(bench, prompts, drawn[BICUBIC][1], small, height, spec)
    measured = {}
    for name, (pictures, _) in drawn.items():
        bench.pictures[f"{size} {name}"] = pictures
        measured[name] = measures(bench, pictures, concepts * bench.seeds)
    return [row(name, measured, drawn[name][1]) for name in measured]


def timed(bench: Bench, prompts: list[str], height: int, width: int, **options) -> tuple[Tensor, float]:
    """Return pictures of the prompts with every seed, clipped, and the seconds that one took."""
    start = time.perf_counter()
    pictures = [bench.draw(prompts, height, width, seed=seed, **options) for seed in range(bench.seeds)]
    seconds = time.perf_counter() - start
    return torch.cat(pictures).clamp(-1, 1), seconds / (len(prompts) * bench.seeds)


def passes(
    bench: Bench, prompts: list[str], seconds: float, pictures: Tensor, side: int, spec: str
) -> tuple[Tensor, float]:
    """Return 1× samples, which took `seconds` each, drawn over at twice their size and again up to `side`, clipped,
    and the seconds that one took."""
    start = time.perf_counter()
    while (reached := pictures.shape[-1]) < side:
        now = min(2 * reached, side)
        large = F.interpolate(pictures, (now, now), mode="bicubic", align_corners=False)
        rope = scaling(spec, now, now, bench)
        by_seed = enumerate(large.chunk(bench.seeds))
        again = replace(bench.sampling, steps=PASS_STEPS)
        drawn = [bench.redraw(x, prompts, BEGIN, seed=seed, sampling=again, rope=rope) for seed, x in by_seed]
        pictures = torch.cat(drawn).clamp(-1, 1)
    return pictures, seconds + (time.perf_counter() - start) / len(pictures)


def measures(bench: Bench, pictures: Tensor, concepts: list[int]) -> dict[str, Tensor]:
    """Return the measures of square pictures, or, of wide ones, of the square around what stands in them."""
    if pictures.shape[-1] == pictures.shape[-2]:
        return bench.measures(pictures, concepts)
    count, squares = objects(pictures)
    measured = bench.measures(squares, concepts)
    del measured["repetition"]
    return {**measured, "objects": count.float(), "one object": count == 1}


def row(name: str, measured: dict[str, dict[str, Tensor]], seconds: float) -> Row:
    """Return one method's row; also how much its GMSD is above the default's and bicubic's, and its edge distance above
    the default's, where they are measured."""
    found: Row = {"method": name, **summary(measured[name])}
    for other, measure, key in DIFFERENCES:
        if other in measured:
            found[key] = mean(measured[name][measure] - measured[other][measure])
    return {**found, "seconds": seconds}


def alone(pictures: Tensor, width: int) -> Tensor:
    """Return pictures (N, 3, S, S) in the middle of white canvases (N, 3, S, width)."""
    side = width - pictures.shape[-1]
    return F.pad(pictures, (side // 2, side - side // 2, 0, 0), value=1.0)
