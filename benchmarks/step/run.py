"""Time a step of the network against diffusers': `python -m lumina_next.benchmarks.step`.

Writes tables, named by the device, to benchmarks/results/ or to the folder of `--results`. On a GPU: `--device cuda`,
which takes the 2B shape, a guidance pair and torch.compile on both sides.
"""

import argparse
import platform
import re
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ...nextdit.config import PRESETS, NextDiTConfig
from ..shared.report import write_results
from ..shared.timing import CLOCKS, device_name
from . import sections as step_sections
from .bench import Bench

RESULTS = Path(__file__).parents[1] / "results"
SECTIONS = {
    "Sizes": step_sections.sizes,
    "Distance to float32": step_sections.accuracy,
    "Number formats": step_sections.dtypes,
    "Guidance pair": step_sections.batches,
    "Text": step_sections.texts,
    "Context drop": step_sections.context_drop,
    "Attention": step_sections.backends,
}
SHAPES: dict[str, NextDiTConfig] = {
    "2B": PRESETS["2B"],
    "2B-width": replace(PRESETS["2B"], n_layers=1),  # a step's time goes with the layers: enough for a ratio
    "small": NextDiTConfig(dim=576, n_layers=2, n_heads=8, n_kv_heads=2, text_dim=512),
}
# Tokens as (rows, columns): 512², 1024², 1024×4096 and so on, in pictures of the SDXL VAE.
GRIDS = {
    "2B": [(32, 32), (64, 64), (128, 32), (128, 128), (256, 256)],
    "2B-width": [(32, 32), (64, 64)],
    "small": [(16, 16), (32, 32), (32, 8)],
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", default="cpu")
    add("--shape", choices=SHAPES, help="default: 2B on a GPU; on a CPU one layer of its width")
    add("--dtype", choices=("bf16", "fp32"), default="bf16")
    add("--batch", type=int, help="images a call; default: 2, a guidance pair, on a GPU, else 1")
    add("--text", type=int, default=64, help="tokens of text")
    add("--rounds", type=int, default=5)
    add(
        "--budget",
        type=float,
        help="seconds of timing a row, at most; default: 20 on a GPU, else 60",
    )
    add("--clock", choices=CLOCKS, default="wall", help="cpu, with OMP_NUM_THREADS=1, where others use the machine too")
    add("--compile", action=argparse.BooleanOptionalAction, help="time torch.compile too; default: on a GPU")
    add("--quick", action="store_true", help="a small shape and few rounds: under two minutes on two cores")
    add("--only", nargs="*", help="words in the titles of the tables to make (default: all)")
    add("--results", type=Path, default=RESULTS)
    add("--name", help="of the files; default: made of the device's name")
    return parser.parse_args(arguments)


def bench_of(options: argparse.Namespace) -> Bench:
    """Return what the options describe."""
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    shape = options.shape or ("small" if options.quick else "2B" if gpu else "2B-width")
    return Bench(
        SHAPES[shape],
        device,
        {"bf16": torch.bfloat16, "fp32": torch.float32}[options.dtype],
        2 if options.quick else options.rounds,
        GRIDS[shape],
        options.text,
        options.batch or (2 if gpu else 1),
        gpu if options.compile is None else options.compile,
        options.clock,
        options.budget or (20.0 if gpu else 60.0),
    )


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    bench = bench_of(options)
    wanted = {
        title: section
        for title, section in SECTIONS.items()
        if not options.only or any(word.lower() in title.lower() for word in options.only)
    }
    name = options.name or "step-" + re.sub(r"[^a-z0-9]+", "-", device_name(bench.device).lower()).strip("-")
    settings = {
        "device": device_name(bench.device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "width": bench.config.dim,
        "layers": bench.config.n_layers,
        "dtype": options.dtype,
        "images a call": bench.batch,
        "text tokens": bench.text,
        "rounds at most": bench.rounds,
        "clock": bench.clock,
    }
    results, start = {}, time.monotonic()
    with torch.no_grad():
        bench.calibrate()
        for title, section in (progress := tqdm(wanted.items())):
            progress.set_postfix_str(title)
            results[title] = section(bench)
            settings["matmul rate, TFLOP/s"] = round(bench.rate / 1e12, 3)
            settings["seconds"] = round(time.monotonic() - start)
            write_results(options.results, name, settings, results, heading="Seconds of a step")
