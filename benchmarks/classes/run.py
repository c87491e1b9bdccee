"""Class-conditional networks: the one in the box, and figure 6 of the paper in small.

`python -m lumina_next.benchmarks.classes --cache DATA`, DATA being what `training.data.recognition.prepare` wrote.
Trains a judge, then every network of variants.py with every seed; what is done is kept in --runs, so that the same
command goes on after a stop. Writes benchmarks/results/classes.*, docs/pictures/classes.svg and the tables in
docs/family_tree.md.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...demo import CLASS_MODEL
from ...nextdit import load_model
from ...pipelines.sampling import Sampling
from ...training.data.emoji.concepts import COLOURS, EMOJI
from ...training.data.emoji.pictures import WHITE
from ...training.data.emoji.prepare import default_cache
from ...training.tasks.class_image import COLOURED
from ..shared.metrics import rate
from ..shared.options import ROOT, add_redraw
from ..shared.plot import require_matplotlib
from ..shared.report import fill_document, measured_with, settings_text, stored_results, table, write_results
from ..shared.truth import Truth
from .figure import draw
from .judge import PIXELS, DemoSource, Judge, judged, train
from .measures import over_seeds, paired
from .race import raced, samples
from .variants import BASE, NEXT, VARIANTS

Row = dict[str, Any]
BOX, END, WAY, DEPTH = "The model in the box", "At the end", "On the way", "Activations"
SHOWN = {
    BOX: ("pictures", "right class, %", "ceiling, %", "of it, %"),
    END: ("network", "loss", "loss − Next-DiT's", "right class, %", "right class − Next-DiT's"),
}
"""Columns of the tables in docs/, with their intervals."""
WAYS = {
    "20 evaluations, no guidance": Sampling(20, "uniform", cfg=1.0),
    "20 evaluations, guidance 2": Sampling(20, "uniform", cfg=2.0),
    "10 evaluations, guidance 2": Sampling(10, "uniform", cfg=2.0),
}


class Bench:
    """The judge, and what the races measured."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        options.runs.mkdir(parents=True, exist_ok=True)
        self.judge = self.trained_judge()
        self.races: dict[str, list[Row]] = {}

    def trained_judge(self) -> Judge:
        """Return the judge, trained once."""
        file = self.options.runs / f"judge-{self.options.judge_steps}.pt"
        if not file.is_file():
            torch.save(train(DemoSource(self.options.cache), self.options.judge_steps).state_dict(), file)
        judge = Judge()
        judge.load_state_dict(torch.load(file, weights_only=True))
        return judge.eval()

    def race(self) -> dict[str, list[Row]]:
        """Return what every variant's races measured, one for each seed; every seed for all before the next."""
        if not self.races:
            found = {
                (name, seed): raced(name, seed, self.judge, self.options)
                for seed in range(self.options.seeds)
                for name in VARIANTS
            }
            self.races = {name: [found[name, seed] for seed in range(self.options.seeds)] for name in VARIANTS}
        return self.races


def backgrounds(pictures: Tensor) -> Tensor:
    """Return the number of the colour (B,) nearest to the corners of pictures (B, 3, S, S): 0 white, then COLOURS'."""
    corners = pictures[:, :, :: PIXELS - 1, :: PIXELS - 1].flatten(2).median(-1).values
    known = torch.tensor([WHITE, *COLOURS.values()]).float() / 127.5 - 1
    return torch.cdist(corners.float(), known).argmin(1)


def box(bench: Bench) -> list[Row]:
    """The shipped model by ways to sample, against the judge's ceiling: its score on the true pictures.

    The ceiling of samples is that of the true pictures of the same classes on the same backgrounds.
    """
    labels = torch.arange(len(EMOJI))
    true = torch.stack([Truth().pictures(PIXELS, colour)[: len(EMOJI)] for colour in range(-1, len(COLOURS))])
    known = torch.stack([judged(bench.judge, pictures) == labels for pictures in true])  # (backgrounds, classes)
    learned = 100 * ((1 - COLOURED) * known[0].float().mean() + COLOURED * known[1:].float().mean())
    model = load_model(bench.options.model, dtype=torch.float32, family="class_image").eval()
    nothing = float("nan")
    rows: list[Row] = [
        {"pictures": name, "right class, %": value, "ceiling, %": nothing, "of it, %": nothing, "white, %": white}
        for name, value, white in (
            ("true, on white", rate(known[0]), 100.0),
            ("true, on the eight colours", rate(known[1:].flatten()), 0.0),
            ("true, mixed as in training", float(learned), 100 * (1 - COLOURED)),
        )
    ]
    for name, sampling in WAYS.items():
        drawn = samples(model, 0, bench.options.box_samples, sampling, PIXELS)
        wanted, behind = labels.repeat(bench.options.box_samples), backgrounds(drawn)
        seen, most = judged(bench.judge, drawn) == wanted, known[behind, wanted]
        row = {"pictures": name, "right class, %": rate(seen), "ceiling, %": rate(most)["value"]}
        row["of it, %"] = 100 * float(seen.float().mean() / most.float().mean())
        rows.append(row | {"white, %": rate(behind == 0)["value"]})
    return rows


def end(bench: Bench) -> list[Row]:
    """Every variant after training: loss and judged quality, and how much that is above Next-DiT's of the same seed."""
    found, rows = bench.race(), []
    for name, runs in found.items():
        losses = [run["loss"][-1] for run in runs]
        scores, theirs = ([100 * run["right"][-1] for run in each] for each in (runs, found[NEXT]))
        row = {"network": name, "parameters": runs[0]["parameters"], "loss": over_seeds(losses)}
        row["loss − Next-DiT's"] = paired(losses, [run["loss"][-1] for run in found[NEXT]])
        row["right class, %"] = over_seeds(scores)
        row["right class − Next-DiT's"] = paired(scores, theirs)
        rows.append(row)
    return rows


def way(bench: Bench) -> list[Row]:
    """Loss and judged quality over steps."""
    return [
        {
            "network": name,
            "steps": step,
            "training loss": over_seeds([run["training loss"][i] for run in runs]),
            "loss": over_seeds([run["loss"][i] for run in runs]),
            "right class, %": over_seeds([100 * run["right"][i] for run in runs]),
        }
        for name, runs in bench.race().items()
        for i, step in enumerate(runs[0]["steps"])
    ]


def depth(bench: Bench) -> list[Row]:
    """Root mean square of the tokens behind every layer of the trained networks."""
    return [
        {"network": name}
        | {f"layer {i + 1}": over_seeds([run["magnitudes"][i] for run in runs]) for i in range(BASE.n_layers)}
        for name, runs in bench.race().items()
    ]


SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "box": (BOX, box),
    "end": (END, end),
    "way": (WAY, way),
    "depth": (DEPTH, depth),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, default=default_cache(), help="what training.data.recognition.prepare wrote")
    add("--runs", type=Path, help="folder of what is done: judge and races (default: in --cache)")
    add("--model", type=Path, default=CLASS_MODEL)
    add("--judge-steps", type=int, default=800)
    add("--box-samples", type=int, default=8, help="pictures of each class by the model in the box")
    add("--seeds", type=int, default=3, help="races of each network")
    add("--train-steps", type=int, default=260, help="of a race")
    add("--batch", type=int, default=64, help="pictures of a step")
    add("--rate", type=float, default=4e-3, help="learning rate of AdamW")
    add("--muon", type=float, default=8e-3, help="learning rate of Muon for the layers' matrices; 0: AdamW for all")
    add("--samples", type=int, default=4, help="of each class, at each stop of a race")
    add("--steps", type=int, default=20, help="of sampling, in a race")
    add("--guidance", type=float, default=1.0, help="in a race")
    add("--sections", nargs="*", choices=tuple(SECTIONS), default=tuple(SECTIONS))
    add("--name", default="classes", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "family_tree.md", help="whose tables are filled in")
    add_redraw(parser)
    options = parser.parse_args(arguments)
    options.runs = options.runs or options.cache / "classes"
    return options


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
        found[title] = measure(bench)
        settings[title] = how(options, title)
        publish(options, settings, {title: found[title] for title, _ in SECTIONS.values() if title in found})


def how(options: argparse.Namespace, title: str) -> str:
    """Say how a section was measured."""
    told = {"model": options.model.name} if title == BOX else {"steps": options.steps, "guidance": options.guidance}
    raced = ("seeds", "train_steps", "batch", "rate", "muon", "samples")
    keys = ("judge_steps", "box_samples") if title == BOX else raced
    return settings_text(told | {key.replace("_", " "): getattr(options, key) for key in keys})


def publish(options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
    """Write the results, the figure, and the document's tables."""
    write_results(options.results, options.name, settings, found, heading="Classes")
    if DEPTH in found:
        draw(options.pictures / f"{options.name}.svg", found[WAY], found[DEPTH])
    if options.name == "classes":
        shown = {t: [{key: row[key] for key in keys} for row in found[t]] for t, keys in SHOWN.items() if t in found}
        tables = {title: table(rows) for title, rows in shown.items()}
        fill_document(options.document, {t: f"{text}\n\n{measured_with(settings[t])}" for t, text in tables.items()})
