"""Score models of points on held-out shapes: `python -m lumina_next.benchmarks.points --cache DATA`.

DATA is what `training.data.points.prepare` wrote. Writes benchmarks/results/points.*, docs/pictures/points.webp and the
tables in docs/points.md; --sections measures some again and keeps the others.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...demo import POINTS_MODEL, POINTS_TEXT_MODEL, TEXT_ENCODER
from ...nextdit.clouds.noise import GRAIN
from ...nextdit.clouds.picture import from_side
from ...training.data.emoji.prepare import default_cache
from ...training.data.points.shapes import LABELS
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
from .bench import Bench, Row
from .sections import cost, density, equal, few_steps, real, shapes, texts

SHOWN_POINTS = {"Against held-out shapes": (256, 2048, 8192)}
"""Numbers of points that the document's tables have."""

SHOWN = ("points made by", "points", "MMD ×10³", "÷ floor", "right class", "unevenness")

SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "shapes": ("Against held-out shapes", shapes),
    "equal": ("As many samples as held-out shapes", equal),
    "density": ("Density", density),
    "steps": ("Few steps", few_steps),
    "texts": ("From text", texts),
    "real": ("Real furniture", real),
    "cost": ("Cost of an evaluation", cost),
}


def picture(bench: Bench, file: Path, side: int = 112) -> None:
    """Write a sample of every label, as a row for each number of points."""
    rows = {}
    for points in (256, 1024, 4096):
        made = bench.sample(points, 1, proportional=True)
        sides = [from_side(row[0].cpu(), 30.0, side).permute(2, 0, 1).float() / 127.5 - 1 for row in made]
        rows[f"{points} points"] = torch.stack(sides)
    write_grid(file, rows, len(LABELS))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, default=default_cache(), help="what training.data.points.prepare wrote")
    add("--model", type=Path, default=POINTS_MODEL)
    add("--text-model", type=Path, default=POINTS_TEXT_MODEL)
    add("--text-encoder", type=Path, default=TEXT_ENCODER)
    add("--furniture", type=Path, help="unpacked sweethome3d-furniture, for the section real")
    add("--plain", type=Path, help="checkpoint trained alike with --scaling plain, to compare with")
    add("--tuned", type=Path, help="checkpoint that was fine-tuned with more points, to compare with")
    add("--points", type=int, nargs="*", default=[256, 1024, 2048, 8192])
    add("--most-forms", type=int, default=2048, help="points up to which other forms and thinning are measured")
    add("--ways", nargs="*", help="rows to measure of shapes and equal, the network's aside; default: all")
    add("--samples", type=int, default=8, help="of each label, up to 2048 points")
    add("--fewer", type=int, default=2, help="of each label above that, and where density is measured")
    add("--references", type=int, default=32, help="held-out shapes of each label")
    add("--steps", type=int, default=5)
    add("--method", default="midpoint", help="solver; models trained with pairs have euler")
    add("--guidance", type=float, default=1.5)
    add("--grain", type=float, default=GRAIN, help="of the noise of more than 256 points; 1 is plain noise")
    add("--judge-steps", type=int, default=1500)
    add("--keep", type=Path, help="folder to keep samples in, and to take those from that are there")
    add("--device", default="cpu", help="cuda: networks and distances on a GPU; the cost stays a processor's")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--sections", nargs="*", choices=tuple(SECTIONS), help="default: all, real with --furniture")
    add("--picture", action=argparse.BooleanOptionalAction, default=True, help="draw docs/pictures/points.webp anew")
    add("--name", default="points", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "points.md", help="whose tables are filled in")
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options, began = parse(arguments), time.monotonic()
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    torch.set_num_threads(1)  # the processor's seconds are then those of the work
    bench = Bench(options)
    settings, found = stored_results(options.results, options.name)
    wanted = options.sections or [name for name in SECTIONS if name != "real" or options.furniture]
    for name in wanted:
        title, measure = SECTIONS[name]
        found[title] = measure(bench)
        settings[title] = how(bench)
    if options.picture:
        picture(bench, options.pictures / f"{options.name}.webp")
    order = [title for title, _ in SECTIONS.values() if title in found]
    settings["whole run, seconds"] = round(time.monotonic() - began)
    publish(options, settings, {title: found[title] for title in order})


def how(bench: Bench) -> str:
    """Say how a section was measured."""
    options = bench.options
    kept = ("samples", "fewer", "references", "steps", "method", "guidance", "grain", "dtype", "device")
    told = {"model": options.model.name} | {key: getattr(options, key) for key in kept}
    told["judge, right on held-out shapes:"] = f"{bench.right(bench.references(1024, 64))['value']:.1f} %"
    return settings_text(told)


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results, and the document's tables."""
    write_results(options.results, options.name, settings, found, heading="Points")
    if options.name == "points":
        kept = {
            title: [row for row in rows if row.get("points") in SHOWN_POINTS.get(title, (row.get("points"),))]
            for title, rows in found.items()
        }
        tables = {title: brief(rows, SHOWN if "points made by" in rows[0] else ()) for title, rows in kept.items()}
        told = {title: f"{shown}\n\n{measured_with(settings[title])}" for title, shown in tables.items()}
        fill_document(options.document, told)
