"""Do seeds of a distilled model look alike, and what helps: `python -m lumina_next.benchmarks.variety --device cuda`.

Fine-tunes the demo on pictures whose prompts leave place, size, colour or object open, distils that into four steps
without guidance, and samples every prompt with many seeds: the teacher, the student, and the student with what may make
its seeds differ more. Writes benchmarks/results/variety.md and .json, and a grid of pictures.
"""

import argparse
import copy
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...nextdit import load_model, save_model
from ...nextdit.text import load_text_encoder
from ...samplers import times
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
from ..shared.truth import DEMO, Truth
from .cards import Cards
from .distil import Clock, Distillation, Learner, Texts, train_teacher, velocity
from .measures import measures
from .ways import Way, guided, sample, ways

TABLE = "Seed Variety"


class Bench:
    """Teacher and student, and the noises and prompts that all ways share."""

    def __init__(self, cards: Cards, texts: Texts, options: argparse.Namespace):
        self.cards, self.texts, self.seeds = cards, texts, options.seeds
        names = range(0, len(cards.names), max(1, len(cards.names) // options.prompts))
        self.prompts = [*names, *range(len(cards.names), len(cards.names) + cards.kinds)]
        generator = torch.Generator().manual_seed(1)
        self.noise = torch.randn(self.seeds, *cards.pictures.shape[-3:], generator=generator).to(cards.device)

    def over(self, run: Any) -> Tensor:
        """Return run(noise, text, empty text) of every prompt with every seed, (prompts, seeds, 3, H, W)."""
        rows = torch.tensor(self.prompts, device=self.cards.device).repeat_interleave(self.seeds)
        drawn: list[Tensor] = []
        torch.manual_seed(0)
        for part in rows.split(256):
            first = len(drawn) * 256
            x = self.noise[torch.arange(first, first + len(part), device=rows.device) % self.seeds]
            drawn.append(run(x, self.texts(part), self.texts.empty(len(part))))
        return torch.cat(drawn).unflatten(0, (len(self.prompts), self.seeds))

    def true(self) -> Tensor:
        """Return random true pictures, the variety that there is."""
        rows = torch.tensor(self.prompts, device=self.cards.device).repeat_interleave(self.seeds)
        pictures = self.cards.pictures.flatten(0, 2)[self.cards.any_of(rows)]
        return pictures.unflatten(0, (len(self.prompts), self.seeds))

    @torch.inference_mode()
    def by_teacher(self, teacher: Any, steps: int, scale: float) -> Tensor:
        """Return the teacher's pictures, by Euler steps with guidance."""
        run, grid = velocity(teacher), times("sigmoid", steps).tolist()

        def follow(x: Tensor, text: Any, empty: Any) -> Tensor:
            for t, after in pairwise(grid):
                x = x + (after - t) * guided(run, x, x.new_full((len(x),), t), text, empty, scale)
            return x

        return self.over(follow)

    def by_student(self, way: Way, student: Any, teacher: Any) -> Tensor:
        """Return the student's pictures, sampled in a way."""
        networks = velocity(student), velocity(teacher)
        return self.over(lambda x, text, empty: sample(way, *networks, x, text, empty))

    def score(self, samples: Tensor) -> dict[str, Any]:
        return measures(self.cards, samples, self.prompts)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--teacher", type=Path, help="checkpoint that was fine-tuned before")
    add("--student", type=Path, help="checkpoint that was distilled before")
    add("--teacher-seconds", type=float, default=70.0, help="of fine-tuning")
    add("--seconds", type=float, default=140.0, help="of distillation")
    add("--teacher-steps", type=int, help="of fine-tuning, in place of its seconds")
    add("--student-steps", type=int, help="of distillation, in place of its seconds")
    add("--batch", type=int, default=64)
    add("--rate", type=float, default=5e-4, help="of the fine-tuning")
    add("--student-rate", type=float, default=2e-4)
    add("--ratio", type=int, default=2, help="steps of the critic for one of the student")
    add("--steps", type=int, default=4, help="of the student")
    add("--every", type=int, default=2, help="take every so many-th of the concepts")
    add("--prompts", type=int, default=32, help="names to judge on, besides the kinds")
    add("--seeds", type=int, default=32)
    add("--few-ways", action="store_true", help="one strength of each way only")
    add("--ways", nargs="*", default=[], help="patterns of the names of the ways (default: all)")
    add("--graphs", action=argparse.BooleanOptionalAction, default=True, help="record CUDA graphs")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--name", default="variety", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "few_steps.md", help="whose table is filled in")
    add("--weights", type=Path, help="folder to write teacher and student to")
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.redraw:
        return publish(options, *stored_results(options.results, options.name, needed=True))
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    truth = Truth()
    cards = Cards(truth, device, every=options.every)
    texts = Texts(load_text_encoder(options.text_encoder, dtype=torch.float32), cards)
    bench, report = Bench(cards, texts, options), Report(options, cards.kinds)
    teacher = make_teacher(options, cards, texts, report)
    report.add("References", {"what": "true pictures", **bench.score(bench.true())})
    for steps, scale in ((20, 1.0), (20, 3.0), (options.steps, 3.0)):
        drawn = bench.by_teacher(teacher, steps, scale)
        report.add("References", {"what": f"teacher, {steps} steps, guidance {scale:g}", **bench.score(drawn)}, drawn)
    student = make_student(options, teacher, bench, report)
    for way in chosen(options):
        drawn = bench.by_student(way, student, teacher)
        report.add("Ways", {"way": way.name, "strength": way.strength, **bench.score(drawn)}, drawn)
    report.grid()


def publish(options: argparse.Namespace, settings: dict[str, Any], sections: dict[str, list[dict[str, Any]]]) -> None:
    """Write the results, and the document's table of what Seed Variety does."""
    write_results(options.results, options.name, settings, sections)
    if TABLE in sections:
        keys = ("way", "strength", "right, %", "distance", "colours")
        text = f"{brief(sections[TABLE], keys)}\n\n{measured_with(settings.get(TABLE, settings_text(settings)))}"
        fill_document(options.document, {TABLE: text})


class Report:
    """Settings, rows so far and pictures to show; written after each row, so that nothing is lost."""

    def __init__(self, options: argparse.Namespace, kinds: int):
        self.options, self.began = options, time.monotonic()
        names = (
            "teacher_seconds",
            "seconds",
            "batch",
            "rate",
            "student_rate",
            "ratio",
            "steps",
            "every",
            "prompts",
            "seeds",
        )
        self.settings = {"model": options.model.name, **{name: getattr(options, name) for name in names}}
        self.sections: dict[str, list[dict[str, Any]]] = {}
        self.shown: dict[str, Tensor] = {}
        self.kind = -kinds  # the first prompt for a kind

    def add(self, section: str, row: dict[str, Any], drawn: Tensor | None = None) -> None:
        values = {key: value["value"] if isinstance(value, dict) else value for key, value in row.items()}
        print(round(time.monotonic() - self.began), section, values, flush=True)
        self.sections.setdefault(section, []).append(row)
        self.settings["took"] = round(time.monotonic() - self.began)
        write_results(self.options.results, self.options.name, self.settings, self.sections)
        if drawn is not None:
            name = row.get("what") or f"{row['way']} {row['strength'] or ''}"
            self.shown[name.strip()] = drawn[[0, len(drawn) // 2, self.kind], :4].flatten(0, 1).cpu()

    def grid(self) -> None:
        """Write pictures of three prompts, four seeds each, a row a way."""
        count = len(next(iter(self.shown.values())))
        write_grid(self.options.pictures / f"{self.options.name}.webp", self.shown, count)


def make_teacher(options: argparse.Namespace, cards: Cards, texts: Texts, report: Report) -> Any:
    """Return the network fine-tuned on the cards, in float32."""
    network = load_model(options.teacher or options.model, dtype=torch.float32, device=options.device)
    if options.teacher_steps == 0 or not options.teacher_seconds:
        return network.eval()
    learner = Learner(network, options.rate, 0.998)
    clock = Clock(options.teacher_seconds, options.teacher_steps)
    losses = train_teacher(learner, cards, texts, options.batch, clock, options.graphs)
    print("teacher:", clock.step, "steps, losses", [round(loss, 4) for loss in losses], flush=True)
    teacher = learner.smoothed()
    keep(options, teacher, "teacher", clock.step)
    return teacher


def make_student(options: argparse.Namespace, teacher: Any, bench: Bench, report: Report) -> Any:
    """Return the distilled network."""
    if options.student:
        return load_model(options.student, dtype=torch.float32, device=options.device).eval()
    made = Distillation(teacher, bench.cards, bench.texts, options.batch, options.steps, options.student_rate)
    clock = Clock(options.seconds, options.student_steps)

    def peek(step: int, student: Any) -> None:
        drawn = bench.by_student(Way(steps=options.steps), student, teacher)
        report.add("Student on its way", {"step": step, **bench.score(drawn)})
        keep(options, student, "student", step)

    made.run(clock, options.ratio, options.graphs, peek)
    student = made.student.smoothed()
    keep(options, student, "student", clock.step)
    return student


def keep(options: argparse.Namespace, network: Any, name: str, step: int) -> None:
    """Write a network in bfloat16 where weights are wanted."""
    if options.weights:
        options.weights.mkdir(parents=True, exist_ok=True)
        told = {"steps": str(step), "train_tokens": "16"}
        save_model(copy.deepcopy(network).bfloat16(), options.weights / f"{name}.safetensors", told)


def chosen(options: argparse.Namespace) -> list[Way]:
    """Return the ways to sample in, by the options."""
    every = [
        way for way in ways(options.steps) if not options.ways or any(re.search(p, way.name) for p in options.ways)
    ]
    return list({way.name: way for way in every}.values()) if options.few_ways else every
