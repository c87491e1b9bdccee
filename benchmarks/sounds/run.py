"""Score a model of sounds by a judge that never heard its SoundFonts: `python -m lumina_next.benchmarks.sounds`.

Takes the SoundFonts of the training and of the judge, pyfluidsynth and aisfx (see docs). Writes
benchmarks/results/sounds.* and docs/pictures/sounds.webp; --sections measures some again and keeps the others.
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
from .generator import add_generator
from .judge import JUDGED
from .sections import Bench, Row, cost, distance, each, few_steps, length, order, sounds

SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "sounds": ("Right sound", sounds),
    "each": ("Each sound", each),
    "distance": ("Distance to true clips", distance),
    "order": ("Two sounds in order", order),
    "length": ("Longer than in training", length),
    "steps": ("Few steps", few_steps),
    "cost": ("Cost", cost),
}


def picture(bench: Bench, file: Path) -> None:
    """Write spectrograms of some true clips, and of the model's of the same sounds."""
    shown = JUDGED[:: max(1, len(JUDGED) // 8)][:8]
    true, made = bench.references[0], bench.made[0]
    rows = [true[JUDGED.index(n)] for n in shown] + [made[JUDGED.index(n)] for n in shown]
    spectra = MEL(torch.from_numpy(np.stack(rows)))
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_picture(spectra, columns=4, enlarge=1)).save(file, quality=90, method=6)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_generator(parser, TEXT_ENCODER)
    add("--fonts", type=Path, nargs="+", default=PLACES, help="folders of the SoundFonts")
    add("--judge-clips", type=int, default=12, help="clips of each sound that the judge learns from, each twice")
    add("--references", type=int, default=4, help="true clips of each sound")
    add("--samples", type=int, default=4, help="of each sound, by its English name")
    add("--pairs", type=int, default=60, help="pairs of sounds, in order")
    add("--longer", type=int, default=1, help="of each sound and method, longer than in training")
    add("--lengths", type=int, nargs="*", default=[2, 4], help="times as long as in training")
    add("--methods", nargs="*", choices=tuple(METHODS), default=["extrapolation", "ntk_aware", "interpolation", "auto"])
    add("--sections", nargs="*", choices=tuple(SECTIONS), default=tuple(SECTIONS))
    add("--picture", action=argparse.BooleanOptionalAction, default=True, help="draw docs/pictures/sounds.webp anew")
    add("--name", default="sounds", help="of the files in --results and --pictures")
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
    kept = ("judge_clips", "references", "samples", "steps", "guidance", "dtype")
    return settings_text({"model": options.model.name} | {key: getattr(options, key) for key in kept})


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results in the order of SECTIONS."""
    order = [title for title, _ in SECTIONS.values() if title in found]
    write_results(options.results, options.name, settings, {title: found[title] for title in order}, heading="Sounds")
