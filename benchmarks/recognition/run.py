"""Score classifiers on a style that training never saw: `python -m lumina_next.benchmarks.recognition --cache DATA`.

DATA is what `training.data.recognition.prepare` wrote. Writes benchmarks/results/recognition.*, the figure
docs/pictures/recognition.svg and the tables in docs/recognition.md; --sections measures some again and keeps others.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...demo import CLASSIFIER
from ...training.data.emoji.prepare import default_cache
from ..shared.options import ROOT, add_redraw
from ..shared.plot import panels, require_matplotlib, save
from ..shared.report import brief, fill_document, measured_with, settings_text, stored_results, write_results
from .best_of_n import best_of_n, judges
from .sections import NETWORKS, SHAPES, SQUARES, Bench, Row, shapes, similarity, speed, squares

SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "squares": ("Sizes", squares),
    "shapes": ("Shapes", shapes),
    "similarity": ("Similarity", similarity),
    "judges": ("The judge on true pictures", judges),
    "best": ("Best of N", best_of_n),
    "speed": ("Speed", speed),
}
SHOWN = {"Sizes": ("64×64", "128×128", "256×256"), "Shapes": ("32×128", "64×256", "256×64")}
LINES = {
    ("two stages", "as shipped"): ("Next-DiT, both stages, as shipped", "#111827", "o"),
    ("two stages", "PI"): ("both stages, PI", "#d97757", "o"),
    ("two stages", "resized to 64"): ("the same, resized to 64", "#d97757", "x"),
    ("first stage only", "PI"): ("first stage only, PI", "#3f9d6b", "o"),
    ("first stage only", "plain"): ("first stage only, plain", "#3f9d6b", "s"),
    ("ViT, 1,600 steps", "positions interpolated"): ("ViT after 1,600 steps, positions interpolated", "#2f6fde", "o"),
    ("ViT, 1,600 steps", "resized to 64"): ("ViT, resized to 64", "#2f6fde", "x"),
}


def plot(file: Path, found: dict[str, list[Row]]) -> None:
    """Draw accuracy over size, and over shape."""
    figure, axes = panels(2)
    for axis, title, sizes in (
        (axes[0], "Sizes", [f"{n}×{n}" for n in SQUARES]),
        (axes[1], "Shapes", [f"{h}×{w}" for h, w in SHAPES]),
    ):
        for row in found.get(title, ()):
            if style := LINES.get((row["network"], row["way"])):
                name, colour, marker = style
                values = [row[size]["value"] for size in sizes]
                dashes = "--" if marker == "x" else "-"
                axis.plot(range(len(sizes)), values, dashes, color=colour, marker=marker, label=name, markersize=4)
        axis.set_xticks(range(len(sizes)), sizes, rotation=40, fontsize=8)
        axis.set_ylim(bottom=0)
        axis.set_title(title.lower() + ", pixels", fontsize=10)
    axes[0].set_ylabel("right label, %")
    axes[0].legend(fontsize=7, frameon=False)
    save(figure, file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, default=default_cache(), help="what training.data.recognition.prepare wrote")
    add("--model", type=Path, default=CLASSIFIER)
    add("--first", type=Path, help="checkpoint of the first stage, to compare with")
    add("--short", type=Path, help="checkpoint of a first stage of as many steps as the next two")
    add("--prenorm", type=Path, help="checkpoint of a first stage without sandwich norms")
    add("--vit", type=Path, help="what benchmarks.recognition.vit trained")
    add("--count", type=int, default=625, help="test pictures")
    add("--fewer", type=int, default=200, help="test pictures of large sizes")
    add("--large", type=int, default=160, help="pixels a side, of a square of as large an area, from which fewer do")
    add("--concepts", type=int, default=32, help="prompts of the best of N")
    add("--gallery", nargs="*", default=["twemoji", "emojione"], help="styles to search, for similarity")
    add("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    add("--sections", nargs="*", choices=tuple(SECTIONS), default=tuple(SECTIONS))
    add("--networks", nargs="*", choices=NETWORKS, default=NETWORKS, help="measure these and keep the others' rows")
    add("--name", default="recognition", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "recognition.md", help="whose tables are filled in")
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    require_matplotlib()
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    torch.set_num_threads(1)  # the processor's seconds are then those of the work
    bench = Bench(options)
    settings, found = stored_results(options.results, options.name)
    for name in options.sections:
        title, measure = SECTIONS[name]
        began = time.process_time()
        found[title] = merged(found.get(title, []), measure(bench))
        kept = {key: getattr(options, key) for key in ("count", "fewer", "dtype")}
        seconds = round(time.process_time() - began)
        settings[title] = settings_text({"model": options.model.name} | kept | {"processor seconds": seconds})
        publish(options, settings, {title: found[title] for title, _ in SECTIONS.values() if title in found})


def merged(before: list[Row], rows: list[Row]) -> list[Row]:
    """Return rows, and those of networks that were measured before and not again, in the order of NETWORKS."""
    if "network" not in rows[0]:
        return rows
    anew = {(row["network"], row["way"]) for row in rows}
    every = rows + [row for row in before if (row["network"], row["way"]) not in anew]
    return sorted(every, key=lambda row: NETWORKS.index(row["network"]))


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results, the figure, and the document's tables."""
    write_results(options.results, options.name, settings, found, heading="Recognition")
    plot(options.pictures / f"{options.name}.svg", found)
    told = {}
    for title, rows in found.items():
        keys = ("network", "way", *SHOWN[title]) if title in SHOWN else ()
        told[title] = f"{brief(rows, keys)}\n\n{measured_with(settings[title])}"
    if options.name == "recognition":
        fill_document(options.document, told)
