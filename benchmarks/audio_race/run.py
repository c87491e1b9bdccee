"""Table 5 of the paper in small: small networks of sounds at equal steps, batches and noise.

`python -m lumina_next.benchmarks.audio_race --cache DATA`, DATA being what `training.data.sounds.prepare` wrote. Trains
every network of variants.py with every seed; what is done is kept in --runs, so that the same command goes on after a
stop. Differences are paired: the same clips, noise and times for all. Writes benchmarks/results/audio_race.*.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...demo import TEXT_ENCODER
from ...nextdit.text import load_text_encoder
from ...training.data.emoji.prepare import default_cache
from ...training.data.sounds import prepare
from ..shared.metrics import mean, rate
from ..shared.options import ROOT, add_redraw
from ..shared.report import settings_text, stored_results, write_results
from .data import Clips, divided
from .race import raced
from .variants import NEXT, VARIANTS, Joined

Row = dict[str, Any]
END, WAY = "At the end", "On the way"
SAID = ("train_steps", "batch", "rate", "muon", "seeds", "held")


class Bench:
    """What the races measured."""

    def __init__(self, options: argparse.Namespace):
        options.runs.mkdir(parents=True, exist_ok=True)
        learned, held = divided(prepare.load(options.cache))
        clips = Clips(learned), Clips(held, held=True)
        encoder = Joined(load_text_encoder(options.text_encoder, dtype=torch.float32))
        seeds = range(options.seeds)
        found = {(name, seed): raced(name, seed, clips, encoder, options) for seed in seeds for name in VARIANTS}
        self.races: dict[str, list[Row]] = {name: [found[name, seed] for seed in seeds] for name in VARIANTS}

    def errors(self, name: str, key: str, stop: int = -1) -> Tensor:
        """Return a network's errors of clips (seeds, clips) at a stop."""
        return torch.tensor([run[key][stop] for run in self.races[name]])

    def above(self, name: str, key: str, stop: int = -1) -> Row | str:
        """Return by how much a network's errors exceed Next-DiT's of the same clip, over clips, means of the seeds."""
        if name == NEXT:
            return "–"
        return mean((self.errors(name, key, stop) - self.errors(NEXT, key, stop)).mean(0))


def of_seeds(apart: Tensor) -> str:
    """Return a difference (seeds, clips) for each seed by itself."""
    return ", ".join(f"{x:+.4f}" for x in apart.mean(1).tolist())


def end(bench: Bench) -> list[Row]:
    """Every network after training: what it costs, how well it does, and how far that is from Next-DiT."""
    rows = []
    for name, runs in bench.races.items():
        row: Row = {"network": name, "parameters": runs[0]["parameters"]}
        row["processor's seconds a step"] = sum(run["seconds"] for run in runs) / len(runs)
        for key, sounds in (("one", "one sound"), ("two", "two sounds")):
            row[f"loss, {sounds}"] = f"{float(bench.errors(name, key).mean()):.4f}"
            row[f"− Next-DiT's, {sounds}"] = bench.above(name, key)
        apart = bench.errors(name, "two") - bench.errors(NEXT, "two")
        row["the same for each seed"] = "–" if name == NEXT else of_seeds(apart)
        row["order told, %"] = rate((bench.errors(name, "two") < bench.errors(name, "turned")).flatten())
        row["loss of the wrong order"] = mean((bench.errors(name, "turned") - bench.errors(name, "two")).mean(0))
        rows.append(row)
    return rows


def way(bench: Bench) -> list[Row]:
    """The same after fewer steps."""
    return [
        {
            "network": name,
            "steps": step,
            "loss": f"{float(torch.cat([bench.errors(name, key, i) for key in ('one', 'two')], 1).mean()):.4f}",
            "− Next-DiT's, one sound": bench.above(name, "one", i),
            "− Next-DiT's, two sounds": bench.above(name, "two", i),
            "order told, %": rate((bench.errors(name, "two", i) < bench.errors(name, "turned", i)).flatten()),
        }
        for name, runs in bench.races.items()
        for i, step in enumerate(runs[0]["steps"])
    ]


SECTIONS: dict[str, Callable[[Bench], list[Row]]] = {END: end, WAY: way}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, default=default_cache(), help="what training.data.sounds.prepare wrote")
    add("--runs", type=Path, help="folder of what is done (default: in --cache)")
    add("--text-encoder", type=Path, default=TEXT_ENCODER)
    add("--seeds", type=int, default=2, help="races of each network")
    add("--train-steps", type=int, default=600, help="of a race")
    add("--batch", type=int, default=16, help="clips of a step")
    add("--rate", type=float, default=3e-3, help="learning rate of AdamW")
    add("--muon", type=float, default=6e-3, help="learning rate of Muon for the layers' matrices; 0: AdamW for all")
    add("--held", type=int, default=192, help="clips to measure with, half of one sound and half of two")
    add("--name", default="audio_race", help="of the files in --results")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add_redraw(parser)
    options = parser.parse_args(arguments)
    options.runs = options.runs or options.cache / "audio_race"
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.redraw:
        settings, found = stored_results(options.results, options.name, needed=True)
    else:
        torch.set_num_threads(1)  # the processor's seconds are then those of the work
        bench = Bench(options)
        found = {title: measure(bench) for title, measure in SECTIONS.items()}
        how = settings_text({key.replace("_", " "): getattr(options, key) for key in SAID})
        settings = dict.fromkeys(SECTIONS, how)
    write_results(options.results, options.name, settings, found, heading="Networks of audio")
