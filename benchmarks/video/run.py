"""Score a video checkpoint: `python -m lumina_next.benchmarks.video`.

Draws clips of the demo's concepts, tells how each moves by centroid, area and angle, and what it shows by the nearest
picture and by the recognition model. Writes benchmarks/results/video.*, docs/pictures/video.webp and the tables in
docs/video.md; --sections measures some again and keeps the others.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...demo import CLASSIFIER, TEXT_ENCODER, VIDEO_MODEL
from ...nextdit import load_model
from ...nextdit.text import load_text_encoder
from ...pipelines.video import VideoRequest
from ..shared.bars import add_bar
from ..shared.options import ROOT, add_redraw
from ..shared.report import (
    brief,
    fill_document,
    measured_with,
    settings_text,
    stored_results,
    write_results,
)
from ..shared.truth import Truth
from .bench import Bench, Row
from .picture import write_clips
from .sections import DEFAULT, by_motion, cost, four_times, languages, larger, overall, speed, steps, twice
from .timed import timed

SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "overall": ("Motion and object", overall),
    "motion": ("By motion", by_motion),
    "languages": ("Languages", languages),
    "steps": ("Steps", steps),
    "twice": ("Sixteen frames", twice),
    "four_times": ("Thirty-two frames", four_times),
    "larger": ("Twice the size", larger),
    "timed": ("One motion after another", timed),
    "cost": ("Cost of a step", cost),
    "speed": ("A whole clip", speed),
}
TOLD = (
    *("clips", "asked for", "language", "steps", "guidance", "method"),
    *("motion", "speed, of those", "object", "object, classifier", "drift"),
)
LEFT_OUT = {  # of the document's tables, so that they stay narrow
    "Motion and object": ("speed, of those",),
    "By motion": ("object, classifier",),
    "Languages": ("speed, of those", "drift"),
    "Steps": ("speed, of those", "object, classifier"),
    "Sixteen frames": ("object, classifier",),
    "Thirty-two frames": ("object, classifier",),
    "Twice the size": ("speed, of those", "object, classifier"),
}


def bars(found: dict[str, list[Row]]) -> list[Row]:
    """Return one row a bar that the sections can answer: what, at least (or at most), measured, met."""
    rows: list[Row] = []
    by = {row["clips"]: row for row in found.get("Motion and object", ())}
    if by:
        own, true = by["from a caption"], by["true clips"]
        add_bar(rows, "motion, %", 90, own["motion"]["value"])
        add_bar(rows, "object, %", 95, own["object"]["value"])
        add_bar(rows, "drift ÷ that of the true clips", 1.5, own["drift"]["value"] / true["drift"]["value"], "≤")
        ceiling = true["object, classifier"]["value"]
        share = 100 * own["object, classifier"]["value"] / ceiling
        add_bar(rows, f"object by the classifier ÷ its {ceiling:.0f} % on true clips, %", 95, share)
        for row in found.get("Sixteen frames", ()):
            if row["method"] == DEFAULT:
                kept = row["motion"]["value"] / own["motion"]["value"]
                add_bar(rows, "16 frames: motion ÷ that of 8 frames, %", 85, 100 * kept)
    for row in found.get("A whole clip", ()):
        what = f"{row['frames']} frames of {row['side, px']} px, processor seconds ÷ {row['threads']} threads"
        add_bar(rows, what, 15, row["processor seconds"] / row["threads"], "≤")
    return rows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=VIDEO_MODEL)
    add("--text-encoder", type=Path, default=TEXT_ENCODER)
    add("--each", type=int, default=3, help="clips of each way to move at each speed")
    add("--steps", type=int, default=VideoRequest.sampling.steps)
    add("--guidance", type=float, default=VideoRequest.sampling.cfg)
    add("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    add("--batch", type=int, default=8, help="clips at once")
    add("--sections", nargs="*", choices=tuple(SECTIONS), help="default: all")
    add("--name", default="video", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "video.md", help="whose tables are filled in")
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    dtype = getattr(torch, options.dtype)
    model, encoder = load_model(options.model, dtype=dtype), load_text_encoder(options.text_encoder, dtype=dtype)
    sampling = replace(VideoRequest.sampling, steps=options.steps, cfg=options.guidance)
    bench = Bench(model, encoder, Truth(), load_model(CLASSIFIER), sampling, options.batch, options.each)
    settings, found = stored_results(options.results, options.name)
    for name in options.sections or SECTIONS:
        title, measure = SECTIONS[name]
        began = time.process_time()
        found[title] = measure(bench)
        kept = {key: getattr(options, key) for key in ("steps", "guidance", "dtype")}
        told = {"model": options.model.name} | kept | {"processor time, s": round(time.process_time() - began)}
        settings[title] = settings_text(told)
    if bench.clips:
        write_clips(options.pictures / f"{options.name}.webp", bench.clips)
    order = [title for title, _ in SECTIONS.values() if title in found]
    publish(options, settings, {title: found[title] for title in order})


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results, and the document's tables."""
    write_results(options.results, options.name, settings, found, bars(found), heading="Video")
    if options.name == "video":
        tables = {title: brief(rows, shown_of(title, rows[0])) for title, rows in found.items()}
        fill_document(
            options.document,
            {title: f"{shown}\n\n{measured_with(settings[title])}" for title, shown in tables.items()},
        )


def shown_of(title: str, row: Row) -> tuple[str, ...]:
    """Return the keys of a section's rows that the document shows."""
    if "motion" not in row:
        return ()
    return tuple(key for key in TOLD if key not in LEFT_OUT.get(title, ()))
