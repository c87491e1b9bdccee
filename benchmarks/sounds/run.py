"""Score a model of sounds by a judge that never heard its SoundFonts: `python -m lumina_next.benchmarks.sounds`.

Takes the SoundFonts of the training and of the judge, pyfluidsynth and aisfx (see docs). Writes
benchmarks/results/sounds.* and docs/pictures/sounds.webp; --sections measures some again and keeps the others.
"""

import argparse

import numpy as np

from .command import Command
from .judge import JUDGED
from .sections import Bench, cost, distance, each, few_steps, length, order, sounds

SECTIONS = {
    "sounds": ("Right sound", sounds),
    "each": ("Each sound", each),
    "distance": ("Distance to true clips", distance),
    "order": ("Two sounds in order", order),
    "length": ("Longer than in training", length),
    "steps": ("Few steps", few_steps),
    "cost": ("Cost", cost),
}
SAID = ("judge_clips", "references", "samples", "pairs", "thinned", "steps", "guidance", "dtype")


def shown(bench: Bench) -> np.ndarray:
    """Return some true clips, then the model's of the same sounds."""
    chosen = range(0, len(JUDGED), max(1, len(JUDGED) // 8))[:8]
    return np.stack([clips[n] for clips in (bench.references[0], bench.made[0]) for n in chosen])


COMMAND = Command("sounds", SECTIONS, Bench, shown, 4, SAID)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = COMMAND.parser(__doc__, ["extrapolation", "ntk_aware", "interpolation", "auto"], [2, 4])
    add = parser.add_argument
    add("--judge-clips", type=int, default=12, help="clips of each sound that the judge learns from, each twice")
    add("--references", type=int, default=4, help="true clips of each sound")
    add("--samples", type=int, default=4, help="of each sound, by its English name")
    add("--pairs", type=int, default=60, help="pairs of sounds, in order")
    add(
        "--thinned",
        type=int,
        default=1,
        help="of names in other languages, and of sounds longer than in training or "
        "by number of steps, each so many is asked for",
    )
    add("--longer", type=int, default=1, help="of each sound and method, longer than in training")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    COMMAND.run(parse(arguments))
