"""Score a model of music by judges that never heard its SoundFonts: `python -m lumina_next.benchmarks.music`.

Takes the SoundFonts of the training and of the judge, pyfluidsynth, aisfx and basic-pitch (see docs). Writes
benchmarks/results/music.* and docs/pictures/music.webp; --sections measures some again and keeps the others.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...demo import TEXT_ENCODER
from ...nextdit.layers.rope_scaling import METHODS
from ...training.data.sounds.prepare import MEL
from ...training.data.sounds.rendering import PLACES
from ...training.data.sounds.spectrogram import to_picture
from ..shared.options import ROOT, add_redraw
from ..shared.report import settings_text, stored_results, write_results
from ..sounds.generator import add_generator
from .sections import Bench, Row, cost, each, few_steps, length, music

SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "music": ("Tempo, key and instrument", music),
    "each": ("Each instrument", each),
    "length": ("Longer than in training", length),
    "steps": ("Few steps", few_steps),
    "cost": ("Cost", cost),
}


def picture(bench: Bench, file: Path) -> None:
    """Write spectrograms of some true tunes, and under each the model's of the same caption."""
    shown = range(0, len(bench.pieces), max(1, len(bench.pieces) // 6))[:6]
    pairs = [
        rows for n in range(0, len(shown), 2) for rows in (bench.true[shown[n : n + 2]], bench.made[shown[n : n + 2]])
    ]
    spectra = MEL(torch.from_numpy(np.concatenate(pairs)))
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_picture(spectra, columns=2, enlarge=1)).save(file, quality=90, method=6)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_generator(parser, TEXT_ENCODER)
    add = parser.add_argument
    add("--fonts", type=Path, nargs="+", default=PLACES, help="folders of the SoundFonts")
    add("--judge-clips", type=int, default=16, help="tunes of each instrument that its judge learns from, each twice")
    add("--samples", type=int, default=8, help="tunes of each instrument")
    add("--longer", type=int, default=2, help="of each instrument and method, longer than in training")
    add("--lengths", type=int, nargs="*", default=[2], help="times as long as in training")
    add("--methods", nargs="*", choices=tuple(METHODS), default=["extrapolation", "auto"])
    add("--sections", nargs="*", choices=tuple(SECTIONS), default=tuple(SECTIONS))
    add("--picture", action=argparse.BooleanOptionalAction, default=True, help="draw docs/pictures/music.webp anew")
    add("--name", default="music", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options, began = parse(arguments), time.monotonic()
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    torch.set_num_threads(1)  # the processor's seconds are then those of the work
    bench = Bench(options)
    settings, found = stored_results(options.results, options.name)
    for name in options.sections:
        title, measure = SECTIONS[name]
        found[title] = measure(bench)
        settings[title] = how(options)
        publish(options, settings, found)
    if options.picture:
        picture(bench, options.pictures / f"{options.name}.webp")
    settings["whole run, seconds"] = round(time.monotonic() - began)
    publish(options, settings, found)


def how(options: argparse.Namespace) -> str:
    """Say how a section was measured."""
    kept = ("judge_clips", "samples", "steps", "guidance", "dtype")
    return settings_text({"model": options.model.name} | {key: getattr(options, key) for key in kept})


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results in the order of SECTIONS."""
    order = [title for title, _ in SECTIONS.values() if title in found]
    write_results(options.results, options.name, settings, {title: found[title] for title in order}, heading="Music")
