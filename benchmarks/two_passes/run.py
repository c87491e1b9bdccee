"""Compare ways to enlarge a picture by a second pass: `python -m lumina_next.benchmarks.two_passes`.

All start from the same sample at the training size, enlarged, and take the same steps at the large size: positions as
they are (the recipe of ComfyUI's own upscaler template), scaled ones, and overlapping windows of the training size
whose velocities are averaged (MultiDiffusion, Bar-Tal et al. 2023). Beside them, as many steps from noise. Writes
benchmarks/results/two_passes.* and a picture grid.
"""

import argparse
import time
from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit.layers.rope_scaling import TIME_AWARE_LATE
from ...pipelines.sampling import features, guided_velocity, noise
from ...samplers.solvers import Velocity
from ..shared.bars import BICUBIC, add_bar
from ..shared.metrics import mean
from ..shared.options import add_options, open_bench
from ..shared.report import settings_text, stored_results, write_grid, write_results
from ..shared.sections import Bench, Row, summary
from ..sizes.run import scaling

SIZES = {"2×": 128, "4×": 256}
PLAIN, WINDOWS = "positions as they are", "windows"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name="two_passes")
    add = parser.add_argument
    add("--sizes", nargs="*", choices=SIZES, default=["2×"])
    add("--rope", default=TIME_AWARE_LATE, help="METHOD[,key=number…][,proportional]")
    add("--denoise", nargs="*", type=float, default=[0.2, 0.3, 0.4, 0.5, 0.6])
    add("--pass-steps", type=int, default=5, help="of every second pass")
    add("--prompts", type=int, default=24)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    said, results = stored_results(options.results, options.name, needed=options.redraw)
    if not options.redraw:
        bench, settings = open_bench(options)
        settings |= {key: getattr(options, key) for key in ("rope", "pass_steps", "prompts")}
        for size in options.sizes:
            start = time.monotonic()
            results[size] = measure(bench, SIZES[size], options)
            said[size] = settings_text(settings | {"seconds": round(time.monotonic() - start)})
            grid = options.pictures / f"{options.name}-{size.replace('×', 'x')}.webp"
            write_grid(grid, bench.pictures, 512 // SIZES[size])
    write_results(options.results, options.name, said, results, duel_bars(results))


@torch.inference_mode()
def measure(bench: Bench, side: int, options: argparse.Namespace) -> list[Row]:
    """Return a row for the enlarged sample, for each way and denoise, and for one pass of as many steps."""
    prompts, concepts = bench.truth.prompts(options.prompts)
    rope = scaling(options.rope, side, side, bench)
    small = bench.draw(prompts).clamp(-1, 1)
    large = F.interpolate(small, (side, side), mode="bicubic", align_corners=False)
    sampling = replace(bench.sampling, steps=options.pass_steps)
    wanted = concepts * bench.seeds
    drawn = {(BICUBIC, 0.0): (large, 0.0)}
    for denoise, way in product(options.denoise, (PLAIN, options.rope, WINDOWS)):
        start = time.process_time()
        if way == WINDOWS:
            pictures = by_windows(bench, large, prompts, 1 - denoise, options.pass_steps)
        else:
            turned = {} if way == PLAIN else {"rope": rope}
            pictures = bench.redraw(large, prompts, 1 - denoise, sampling=sampling, **turned)
        drawn[way, denoise] = pictures.clamp(-1, 1), (time.process_time() - start) / len(prompts)
    start = time.process_time()
    alone = bench.draw(prompts, side, side, sampling=sampling, rope=rope).clamp(-1, 1)
    drawn["one pass", 1.0] = alone, (time.process_time() - start) / len(prompts)
    found = {key: bench.measures(pictures, wanted) for key, (pictures, _) in drawn.items()}
    bench.pictures |= {"true": bench.truth.pictures(side)[torch.tensor(concepts)]}
    bench.pictures |= {f"{way}, {denoise:g}": pictures for (way, denoise), (pictures, _) in drawn.items()}
    return [row(key, found, seconds) for key, (_, seconds) in drawn.items()]


def row(key: tuple[str, float], found: dict[tuple[str, float], dict[str, Tensor]], seconds: float) -> Row:
    """Return a way's row, with paired differences to the enlarged sample and, at its denoise, to plain positions."""
    way, denoise = key
    made: Row = {"second pass": way, "denoise": denoise, **summary(found[key])}
    for name, other in (("bicubic", (BICUBIC, 0.0)), ("plain", (PLAIN, denoise))):
        for measure in ("perceptual", "edges"):
            there = other in found
            made[f"{measure} − {name}'s"] = mean(found[key][measure] - found[other][measure]) if there else ""
    return made | {"processor seconds": seconds}


def by_windows(bench: Bench, large: Tensor, prompts: list[str], begin: float, steps: int) -> Tensor:
    """Return pictures drawn over in overlapping windows of the training size, half of one apart."""
    x = begin * large + (1 - begin) * noise(range(len(prompts)), *large.shape[-2:])
    sampling = replace(bench.sampling, steps=steps)
    text, mask = features(bench.encoder, prompts, [""] * len(prompts), sampling)
    velocity = guided_velocity(bench.model, text.to(bench.model.x_embedder.weight), mask, sampling)
    return sampling.follow(averaged(velocity, bench.base), x, begin).float().cpu()


def averaged(velocity: Velocity, window: int) -> Velocity:
    """Return the mean of a velocity's values on all windows that cover a pixel; windows are half of one apart."""

    def mean_velocity(x: Tensor, t: Tensor) -> Tensor:
        total, count = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        places = (range(0, side - window + 1, window // 2) for side in x.shape[-2:])
        for top, left in product(*places):
            at = (..., slice(top, top + window), slice(left, left + window))
            total[at] += velocity(x[at].contiguous(), t)
            count[at] += 1
        return total / count

    return mean_velocity


def duel_bars(found: dict[str, list[Row]]) -> list[Row]:
    """Return, for each size, whether scaled positions beat plain ones beyond the interval at some denoise."""
    bars: list[Row] = []
    for size, rows in found.items():
        scaled = [x for x in rows if x["second pass"] not in (BICUBIC, PLAIN, WINDOWS, "one pass")]
        for measure, name in (("perceptual", "GMSD"), ("edges", "edge distance")):
            best = min(scaled, key=lambda x: x[f"{measure} − plain's"]["high"])
            what = f"{size}: {name} of scaled positions − plain ones, upper end, best at denoise {best['denoise']:g}"
            add_bar(bars, what, 0, best[f"{measure} − plain's"]["high"], "<")
    return bars
