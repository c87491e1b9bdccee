"""Score a checkpoint and its sampling options: `python -m lumina_next.benchmarks.quality`.

Writes tables to benchmarks/results/ and docs/quality.md, and picture grids to docs/pictures/. With `--only` the other
sections keep what an earlier run found.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..shared import sections
from ..shared.bars import bars
from ..shared.options import ROOT, add_options, open_bench
from ..shared.report import (
    brief,
    fill_document,
    measured_with,
    settings_text,
    stored_results,
    table,
    write_grid,
    write_results,
)
from ..shared.sections import Bench

SECTIONS = {
    "Languages, emoji and held-out names": sections.languages,
    "Backgrounds": sections.backgrounds,
    "Two objects": sections.two_objects,
    "Guidance": sections.guidance,
    "Speed": sections.speed,
}
SHOWN = (  # of the columns, in docs/quality.md
    *("prompts", "background", "guidance", "identity", "both, in order", "left", "right", "psnr", "edges"),
    *("sharpness", "threads", "seconds"),
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name="quality")
    parser.add_argument("--only", nargs="*", help="words in the titles of the sections to run (default: all)")
    parser.add_argument(
        "--document", type=Path, default=ROOT / "docs" / "quality.md", help="whose tables are filled in"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.redraw:
        said, results = stored_results(options.results, options.name, needed=True)
        return publish(options, said, results, results)
    bench, settings = open_bench(options)
    wanted = {
        title: run
        for title, run in SECTIONS.items()
        if not options.only or any(word.lower() in title.lower() for word in options.only)
    }
    said, results = stored_results(options.results, options.name) if options.only else ({}, {})
    for title, run in (progress := tqdm(wanted.items())):
        progress.set_postfix_str(title)
        start = time.monotonic()
        results[title] = run(bench)
        settings["seconds"] = round(time.monotonic() - start)
        said[title] = settings_text(settings)
        write_results(options.results, options.name, said, results, bars(results))
    draw_grids(bench, options.pictures, options.name)
    publish(options, said, results, wanted)


def publish(options: argparse.Namespace, said: dict[str, str], results: dict[str, Any], fresh: Iterable[str]) -> None:
    """Write the results, and the tables of the `fresh` sections in the document."""
    write_results(options.results, options.name, said, results, bars(results))
    if options.name == "quality":
        tables = {title: f"{brief(results[title], SHOWN)}\n\n{measured_with(said[title])}" for title in fresh}
        fill_document(options.document, tables | ({"bars": table(bars(results))} if bars(results) else {}))


def draw_grids(bench: Bench, folder: Path, name: str) -> None:
    """Write the grids of what the sections have drawn."""
    drawn = bench.pictures
    groups = {
        "languages": [key for key in (*bench.truth.table["languages"], "emoji") if key in drawn],
        "backgrounds": [key for key in drawn if key.startswith("on ")],
        "two-objects": [key for key in drawn if key.startswith("two ")],
    }
    for group, keys in groups.items():
        if keys:
            columns = min(8, *(len(drawn[key]) for key in keys))
            write_grid(folder / f"{name}-{group}.webp", {label(key): drawn[key] for key in keys}, columns)


def label(key: str) -> str:
    """Return how the rows of a section's pictures are called in a grid."""
    return key.removeprefix("on ").removeprefix("two objects, ")
