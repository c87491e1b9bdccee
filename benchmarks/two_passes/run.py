"""Compare ways to enlarge a picture by a second pass: `python -m lumina_next.benchmarks.two_passes`.

All start from the same sample at the training size, enlarged, and take the same steps at the large size: positions as
they are (the recipe of ComfyUI's own upscaler template), scaled ones, overlapping windows of the training size
(MultiDiffusion), and DemoFusion, that one also from noise alone as its authors do. At 4× each paints over twice, at 2×
and at 4×. Beside them, as many steps from noise. Writes benchmarks/results/two_passes.* and a picture grid.
"""

import argparse
import time
from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit.layers.rope_scaling import TIME_AWARE_LATE
from ..shared.bars import BICUBIC, add_bar
from ..shared.metrics import mean, seam
from ..shared.options import add_options, open_bench
from ..shared.report import settings_text, stored_results, write_grid, write_results
from ..shared.sections import Bench, Row, summary
from ..sizes.run import scaling
from .ways import by_fusion, by_windows

SIZES = {"2×": 128, "4×": 256}
PLAIN, WINDOWS, FUSION, ONCE = "positions as they are", "windows", "DemoFusion", "one pass"
OTHERS = {WINDOWS: by_windows, FUSION: by_fusion}
WAYS = {"plain": PLAIN, "scaled": "", **{name.lower(): name for name in OTHERS}, "once": ONCE}  # scaled: its method


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name="two_passes")
    add = parser.add_argument
    add("--sizes", nargs="*", choices=SIZES, default=["2×"])
    add("--rope", default=TIME_AWARE_LATE, help="METHOD[,key=number…][,proportional]")
    add("--ways", nargs="*", choices=WAYS, default=list(WAYS), help="to paint at that size (default: all)")
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
            results[size] = measure(bench, bench.scaled(SIZES[size]), options)
            said[size] = settings_text(settings | {"seconds": round(time.monotonic() - start)})
            grid = options.pictures / f"{options.name}-{size.replace('×', 'x')}.webp"
            write_grid(grid, bench.pictures, 512 // SIZES[size])
    write_results(options.results, options.name, said, results, duel_bars(results))


@torch.inference_mode()
def measure(bench: Bench, side: int, options: argparse.Namespace) -> list[Row]:
    """Return a row for the enlarged sample, for each way and denoise, and for one pass of as many steps."""
    prompts, wanted = bench.truth.prompts(options.prompts)
    prompts, wanted = prompts * bench.seeds, wanted * bench.seeds
    small = bench.draw(prompts).clamp(-1, 1)
    drawn = {(BICUBIC, 0.0): (enlarged(small, side), 0.0)}
    ways = [WAYS[name] or options.rope for name in options.ways]
    passes = product(options.denoise, (way for way in ways if way != ONCE))
    alone = [(way, 1.0) for way in (FUSION, ONCE) if way in ways]
    for way, denoise in [*((w, d) for d, w in passes), *alone]:
        start, pictures = time.process_time(), small
        while way != ONCE and pictures.shape[-1] < side:
            larger = enlarged(pictures, min(2 * pictures.shape[-1], side))
            pictures = again(bench, larger, prompts, way, 1 - denoise, options).clamp(-1, 1)
        if way == ONCE:
            rope = scaling(options.rope, side, side, bench)
            steps = replace(bench.sampling, steps=options.pass_steps)
            pictures = bench.draw(prompts, side, side, sampling=steps, rope=rope).clamp(-1, 1)
        drawn[way, denoise] = pictures, (time.process_time() - start) / len(prompts)
    true = bench.truth.pictures(side)[torch.tensor(wanted)]
    found = {key: bench.measures(pictures, wanted) for key, (pictures, _) in drawn.items()}
    for key, (pictures, _) in drawn.items():
        found[key]["seam"] = seam(pictures, true, bench.base // 2, bench.model.config.patch_size)
    bench.pictures |= {"true": true}
    bench.pictures |= {f"{way}, {denoise:g}": pictures for (way, denoise), (pictures, _) in drawn.items()}
    return [row(key, found, seconds) for key, (_, seconds) in drawn.items()]


def enlarged(pictures: Tensor, side: int) -> Tensor:
    return F.interpolate(pictures, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


def again(
    bench: Bench, large: Tensor, prompts: list[str], way: str, begin: float, options: argparse.Namespace
) -> Tensor:
    """Return enlarged pictures drawn over from t = `begin` on, in a way."""
    if way in OTHERS:
        return OTHERS[way](bench, large, prompts, begin, options.pass_steps)
    side = large.shape[-1]
    turned = {} if way == PLAIN else {"rope": scaling(options.rope, side, side, bench)}
    steps = replace(bench.sampling, steps=options.pass_steps)
    return bench.redraw(large, prompts, begin, sampling=steps, **turned)


def row(key: tuple[str, float], found: dict[tuple[str, float], dict[str, Tensor]], seconds: float) -> Row:
    """Return a way's row, with paired differences to the enlarged sample and, at its denoise, to plain positions."""
    way, denoise = key
    made: Row = {"second pass": way, "denoise": denoise, **summary(found[key])}
    for name, other in (("bicubic", (BICUBIC, 0.0)), ("plain", (PLAIN, denoise))):
        for measure in ("perceptual", "edges"):
            there = other in found
            made[f"{measure} − {name}'s"] = mean(found[key][measure] - found[other][measure]) if there else ""
    return made | {"processor seconds": seconds}


def duel_bars(found: dict[str, list[Row]]) -> list[Row]:
    """Return, for each size, whether scaled positions beat plain ones beyond the interval at some denoise."""
    bars: list[Row] = []
    for size, rows in found.items():
        scaled = [x for x in rows if x["second pass"] not in (BICUBIC, PLAIN, ONCE, *OTHERS) and x["edges − plain's"]]
        if not scaled:
            continue
        for measure, name in (("perceptual", "GMSD"), ("edges", "edge distance")):
            best = min(scaled, key=lambda x: x[f"{measure} − plain's"]["high"])
            what = f"{size}: {name} of scaled positions − plain ones, upper end, best at denoise {best['denoise']:g}"
            add_bar(bars, what, 0, best[f"{measure} − plain's"]["high"], "<")
    return bars
