"""Schedules and solvers at few network evaluations: `python -m lumina_next.benchmarks.few_steps`.

Schedules are measured on some prompts and noises and judged on others, against a fine reference and the true pictures.
Writes benchmarks/results/few_steps.md and .json, docs/pictures/few_steps.svg and the table in docs/few_steps.md; under
another --name the document stays as it is.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ...nextdit import load_model
from ...nextdit.text import load_text_encoder
from ...pipelines.sampling import Sampling, features, guided_velocity, noise
from ...samplers import integrate, stages, times
from ...samplers.solvers import Velocity
from ..schedules.measured import measured_times, probe, probe_times
from ..shared.metrics import psnr
from ..shared.options import ROOT, add_redraw
from ..shared.plot import plot_few_steps, require_matplotlib
from ..shared.report import stored
from ..shared.sections import BASE
from ..shared.truth import DEMO, Truth
from . import report as few_steps_report

EVALUATIONS = (4, 6, 8, 10, 20, 40)
SCHEDULES = ("uniform", "rational", "sigmoid", "measured")
METHODS = ("euler", "midpoint", "heun", "rk4")
PROBES = 15  # as the node's default
FIRST_MEASURED, FIRST_JUDGED = 10_000, 0  # seeds


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--guidance", type=float, default=2.0)
    add("--prompts", type=int, default=10, help="to judge on")
    add("--measured", type=int, default=4, help="other prompts, to measure the schedules on")
    add("--reference", type=int, default=100, help="RK4 steps of the reference, four evaluations each")
    add("--check", type=int, default=0, metavar="N", help="also compare the reference with N steps of Euler")
    add("--evaluations", type=int, nargs="*", default=EVALUATIONS)
    add("--device", default="cpu")
    add("--name", default="few_steps", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add("--document", type=Path, default=ROOT / "docs" / "few_steps.md", help="whose table is filled in")
    add_redraw(parser)
    return parser.parse_args(arguments)


def flow(model, encoder, truth: Truth, concepts: list[int], first: int, guidance: float) -> tuple[Velocity, Tensor]:
    """Return the guided velocity for English prompts of concepts and their noise (N, 3, 64, 64), seeds from `first`."""
    weight = model.x_embedder.weight
    sampling, names = Sampling(cfg=guidance), [truth.name(i, "en") for i in concepts]
    velocity = guided_velocity(model, *features(encoder, names, [""] * len(names), sampling), sampling)
    return velocity, noise(range(first, first + len(concepts)), BASE, BASE).to(weight.device)


def on_grid(velocity: Velocity, x: Tensor, method: str, grid: Tensor) -> Tensor:
    """Return where the solver ends on a grid, whose times are kept exact."""
    return integrate(velocity, x, grid.double(), method)


def runs(evaluations: Sequence[int]) -> Iterator[tuple[int, str, str, int]]:
    """Yield evaluations, schedule, method and steps of every run that spends just these evaluations."""
    for spent in evaluations:
        for method in METHODS:
            if spent % stages(method) == 0:
                yield from ((spent, schedule, method, spent // stages(method)) for schedule in SCHEDULES)


@torch.inference_mode()
def measure(options: argparse.Namespace) -> dict:
    """Return settings, per run the errors and PSNRs of every sample, and the reference's own."""
    model = load_model(options.model, device=options.device)
    encoder = load_text_encoder(options.text_encoder, device=options.device)
    truth, began = Truth(), time.monotonic()
    everything = torch.randperm(len(truth.emoji), generator=torch.Generator().manual_seed(0)).tolist()
    probed, judged = everything[: options.measured], everything[options.measured :][: options.prompts]
    velocity, x = flow(model, encoder, truth, probed, FIRST_MEASURED, options.guidance)
    path, end = probe(velocity, x, probe_times(PROBES))
    grids = {
        (method, steps): measured_times(path, end, partial(on_grid, velocity, x, method), steps, method)
        for _, schedule, method, steps in tqdm(list(runs(options.evaluations)))
        if schedule == "measured"
    }
    velocity, x = flow(model, encoder, truth, judged, FIRST_JUDGED, options.guidance)
    reference = integrate(velocity, x, times("rational", options.reference, alpha=1.5).double(), "rk4")
    found: dict[str, Any] = {"settings": vars(options), "runs": [], "schedules": {}}

    def score(x: Tensor, **named) -> dict:
        error = (x - reference).square().flatten(1).mean(1).sqrt().cpu()
        pictures = x.float().cpu()
        true = truth.pictures(BASE)[judged]
        return named | {
            "error": error,
            "psnr": psnr(pictures, true),
            "identity": truth.nearest(pictures) == torch.tensor(judged),
        }

    for spent, schedule, method, steps in tqdm(list(runs(options.evaluations))):
        grid = grids[method, steps] if schedule == "measured" else times(schedule, steps)
        out = on_grid(velocity, x, method, grid)
        found["runs"].append(score(out, NFE=spent, schedule=schedule, solver=method))
        if schedule == "measured":
            found["schedules"][f"{method}, {steps} steps"] = [round(t, 4) for t in grid.tolist()]
    found["reference"] = [score(reference, what=f"RK4, {options.reference} steps")]
    if options.check:
        fine = integrate(velocity, x, times("uniform", options.check).double(), "euler")
        found["reference"].append(score(fine, what=f"Euler, {options.check} steps"))
    found["settings"]["seconds"] = round(time.monotonic() - began)
    return found


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    require_matplotlib()
    if options.redraw:
        found = stored(options.results, options.name)
    else:
        found = few_steps_report.content(measure(options))
    few_steps_report.write(found, options.results, options.name)
    plot_few_steps(options.pictures / f"{options.name}.svg", found["sections"]["All runs"])
    if options.name == "few_steps":
        few_steps_report.fill(found, options.document)
