"""ComfyUI's samplers on its schedules and on ours, at few evaluations: `python -m lumina_next.benchmarks.samplers`.

Every sampler runs on every schedule with the same prompts and noises; all are compared with what people run,
res_multistep on `simple` with shift 3. What is best is picked on half of the noises and judged on the other half.
Writes benchmarks/results/samplers.md and .json. Needs a ComfyUI: `--comfyui`, or COMFYUI_PATH.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ...nextdit.text import load_text_encoder
from ...pipelines.sampling import Sampling, features, guided_velocity, noise
from ...samplers import integrate, times
from ...samplers.solvers import Velocity
from ..few_steps.run import on_grid
from ..schedules.measured import measured_times, probe, probe_times
from ..shared.comfyui import add_comfyui, import_comfyui
from ..shared.graphs import recorded_velocity
from ..shared.metrics import edge_distance, psnr
from ..shared.networks import open_network, trained_pixels
from ..shared.options import ROOT, add_redraw
from ..shared.report import stored_results
from ..shared.sections import BASE
from ..shared.timing import device_name
from ..shared.truth import DEMO, Truth
from .report import ALL, BEST, SAMPLERS, Result, best, merged, publish, rows, write

EVALUATIONS = (4, 6, 8, 10, 20)
SHIFTS = (1.0, 3.0, 6.0)
PROBES = 15
Grids = dict[str, Callable[[int], Tensor]]
"""Name of a schedule → its times (steps + 1,) for so many steps."""


class Setting:
    """A network with prompts and noises: `seeds` pictures of each prompt."""

    def __init__(self, options: argparse.Namespace):
        dtype = getattr(torch, options.dtype)
        self.network = open_network(options.model, options.comfyui, dtype, options.device)
        encoder = load_text_encoder(options.text_encoder, dtype=dtype, device=options.device)
        self.truth, self.seeds = Truth(known=getattr(self.network, "known", 0)), options.seeds
        self.size = options.size or trained_pixels(options.model, self.network.config.patch_size)
        prompts, concepts = self.truth.prompts(options.prompts)
        order = sorted(range(len(prompts)), key=lambda i: int(encoder([prompts[i]])[1].sum()))  # equal lengths together
        prompts, concepts = [prompts[i] for i in order], [concepts[i] for i in order]
        self.concepts = torch.tensor(concepts).repeat_interleave(self.seeds)
        self.true = self.truth.pictures(self.size)[self.concepts]
        prompts = [prompt for prompt in prompts for _ in range(self.seeds)]
        self.x = noise(range(len(prompts)), self.size, self.size).to(options.device)
        sampling, nothing = Sampling(cfg=options.guidance), [""] * len(prompts)
        if hasattr(self.network, "patcher"):  # one of core's
            velocity = by_text(self.network, [encoder([prompt]) for prompt in (*prompts, *nothing)], sampling)
        else:
            velocity = guided_velocity(self.network, *features(encoder, prompts, nothing, sampling), sampling)
        self.velocity = recorded_velocity(velocity, self.x)

    def grids(self) -> Grids:
        """Return all schedules."""
        from .host import simple_times

        found: Grids = {f"simple, shift {shift:g}": partial(simple_times, shift) for shift in SHIFTS}
        found |= {name: partial(times, name) for name in ("sigmoid", "rational")}
        return found | {"measured": self.measured_times}

    def measured_times(self, steps: int) -> Tensor:
        """Return the times (steps + 1,) that are measured to suit Euler best, on other noises."""
        path, end = self.probed
        return measured_times(path, end, partial(on_grid, self.velocity, self.other, "euler"), steps, "euler")

    @cached_property
    def other(self) -> Tensor:
        """Noises to measure a schedule on."""
        return noise(range(10_000, 10_000 + len(self.x)), self.size, self.size).to(self.x.device)

    @cached_property
    def probed(self) -> tuple[Any, Tensor]:
        return probe(self.velocity, self.other, probe_times(PROBES))

    def score(self, x: Tensor) -> dict[str, Tensor]:
        pictures = x.float().cpu()
        return {
            "identity": self.truth.nearest(pictures) == self.concepts,
            "psnr": psnr(pictures, self.true),
            "edges": edge_distance(pictures, self.true),
        }


def by_text(network: Any, texts: list[tuple[Tensor, Tensor]], sampling: Sampling) -> Velocity:
    """Return the guided velocity of a network of core's, which has no mask: a call a run of texts of equal length."""
    lengths = [int(mask.sum()) for _, mask in texts]
    starts = [i for i, length in enumerate(lengths) if i == 0 or lengths[i - 1] != length]
    spans = [slice(a, b) for a, b in pairwise([*starts, len(texts)])]
    parts = [torch.cat([text[:, : lengths[span.start]] for text, _ in texts[span]]) for span in spans]

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        x, t = x.repeat(2, 1, 1, 1), t.float().to(x.device).expand(len(texts))
        v = [network.run(network.patcher, x[s], t[s], text) for s, text in zip(spans, parts, strict=True)]
        return sampling.guide(*torch.cat(v).chunk(2))

    return velocity


def runs(setting: Setting, grids: Grids, evaluations: list[int]) -> Iterator[tuple[dict[str, Any], Callable]]:
    """Yield every run: its names, and what computes it."""
    from .host import run

    velocity, x = setting.velocity, setting.x
    for spent in evaluations:
        for schedule, grid in grids.items():
            for sampler in SAMPLERS:
                names = {"evaluations": spent, "sampler": sampler, "schedule": schedule}
                yield names, lambda grid=grid, n=spent, name=sampler: run(name, velocity, x, (1 - grid(n)).float())
            if spent % 2 == 0 and schedule != "measured":
                names = {"evaluations": spent, "sampler": "midpoint", "schedule": schedule}
                yield names, lambda grid=grid, n=spent: integrate(velocity, x, grid(n // 2).double(), "midpoint")


def title(names: dict[str, Any]) -> str:
    """Return what a run is called: its sampler and its schedule."""
    return f"{names['sampler']}, {names['schedule']}"


@torch.inference_mode()
def measure(options: argparse.Namespace, keep: Callable[[list[dict]], None]) -> list[dict[str, Any]]:
    """Return names and scores of every run; `keep` is given those so far."""
    setting, found = Setting(options), []
    wanted = [re.compile(pattern) for pattern in options.only]
    every = list(runs(setting, setting.grids(), options.evaluations))
    for names, draw in tqdm([run for run in every if not wanted or any(p.search(title(run[0])) for p in wanted)]):
        found.append({**names, **setting.score(draw())})
        if len(found) % 10 == 0:
            keep(found)
    return found


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--guidance", type=float, default=2.0)
    add("--prompts", type=int, default=16)
    add("--seeds", type=int, default=4, help="noises a prompt, an even number")
    add("--evaluations", type=int, nargs="*", default=list(EVALUATIONS))
    add("--size", type=int, help=f"of the pictures in pixels (default: what the file says, else {BASE})")
    add("--add", action="store_true", help="keep the stored rows of other numbers of evaluations")
    add("--only", nargs="*", default=[], help="patterns of SAMPLER, SCHEDULE to run (default: all)")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="what the network computes in")
    add("--device", default="cpu")
    add("--name", default="samplers", help="of the files in --results")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--document", type=Path, default=ROOT / "docs" / "few_steps.md", help="whose table is filled in")
    add_comfyui(parser)
    add_redraw(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.redraw:
        return publish(options, stored_results(options.results, options.name, needed=True))
    stored: Result = stored_results(options.results, options.name) if options.add else ({}, {})
    import_comfyui(options.comfyui, options.device)
    device = device_name(torch.device(options.device))
    how = f"{options.prompts} prompts, {options.seeds} seeds, {options.dtype}, {device}"
    runs = {str(spent): how for spent in options.evaluations}
    settings = {"model": options.model.name, "guidance": options.guidance, "runs": runs}

    def result(found: list[dict[str, Any]]) -> Result:
        return merged(stored, (settings, {BEST: best(found, options.seeds), ALL: rows(found, options.seeds)}))

    publish(options, result(measure(options, lambda found: write(options, result(found)))))


if __name__ == "__main__":
    main()
