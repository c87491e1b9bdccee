"""Score a model of music by judges that never heard its SoundFonts: `python -m lumina_next.benchmarks.music`.

Takes the SoundFonts of the training and of the judge, pyfluidsynth, aisfx and basic-pitch (see docs). Writes
benchmarks/results/music.* and docs/pictures/music.webp; --sections measures some again and keeps the others.
"""

import argparse

import numpy as np

from ..sounds.command import Command
from .sections import Bench, cost, each, few_steps, length, music

SECTIONS = {
    "music": ("Tempo, key and instrument", music),
    "each": ("Each instrument", each),
    "length": ("Longer than in training", length),
    "steps": ("Few steps", few_steps),
    "cost": ("Cost", cost),
}


def shown(bench: Bench) -> np.ndarray:
    """Return some true tunes, and under each the model's of the same caption."""
    chosen = range(0, len(bench.pieces), max(1, len(bench.pieces) // 6))[:6]
    pairs = [chosen[n : n + 2] for n in range(0, len(chosen), 2)]
    return np.concatenate([rows for pair in pairs for rows in (bench.true[pair], bench.made[pair])])


COMMAND = Command("music", SECTIONS, Bench, shown, 2, ("judge_clips", "samples", "steps", "guidance", "dtype"))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = COMMAND.parser(__doc__, ["extrapolation", "auto"], [2])
    add = parser.add_argument
    add("--judge-clips", type=int, default=16, help="tunes of each instrument that its judge learns from, each twice")
    add("--samples", type=int, default=8, help="tunes of each instrument")
    add("--longer", type=int, default=2, help="of each instrument and method, longer than in training")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    COMMAND.run(parse(arguments))
