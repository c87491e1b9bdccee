"""Score a checkpoint and its sampling options: `python -m lumina_next.benchmarks.quality`.

Writes tables to benchmarks/results/ and picture grids to docs/pictures/.
"""

import argparse
import time
from pathlib import Path

import torch
from tqdm import tqdm

from ..nextdit import load_model
from ..nextdit.text import load_text_encoder
from . import sections
from .report import write_grid, write_results
from .sections import Bench
from .truth import DEMO, Truth

ROOT = Path(__file__).parents[1]
ROPE = ("extrapolation", "ntk_aware", "time_aware", "interpolation")
SECTIONS = {
    "Languages, emoji and held-out names": sections.languages,
    "Backgrounds": sections.backgrounds,
    "Two objects": sections.two_objects,
    "One object at 1:2": sections.wide,
    "Guidance": sections.guidance,
    "Few steps": sections.few_steps,
    "Larger sizes": lambda bench: sections.sizes(bench, (1.5, 2.0), ROPE, 10),
    "Four times larger": lambda bench: sections.sizes(bench, (4.0,), ("interpolation",), 4),
    "Speed": sections.speed,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--steps", type=int, default=20)
    add("--guidance", type=float, default=1.0)
    add("--method", default="euler")
    add("--schedule", default="uniform")
    add("--seeds", type=int, default=1)
    add("--device", default="cpu")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="what the networks compute in")
    add("--only", nargs="*", help="words in the titles of the sections to run (default: all)")
    add("--name", default="quality", help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    dtype = getattr(torch, options.dtype)
    model = load_model(options.model, dtype=dtype, device=options.device)
    encoder = load_text_encoder(options.text_encoder, dtype=dtype, device=options.device)
    names = ("steps", "guidance", "method", "schedule", "seeds")
    settings = {name: getattr(options, name) for name in names}
    bench = Bench(model, encoder, Truth(), **settings)
    wanted = {
        title: run
        for title, run in SECTIONS.items()
        if not options.only or any(word.lower() in title.lower() for word in options.only)
    }
    named = {"model": options.model.name, "dtype": options.dtype}
    results, start = {}, time.monotonic()
    for title, run in (progress := tqdm(wanted.items())):
        progress.set_postfix_str(title)
        results[title] = run(bench)
        settings["seconds"] = round(time.monotonic() - start)
        write_results(options.results, options.name, named | settings, results)
    draw_grids(bench, options.pictures, options.name)


def draw_grids(bench: Bench, folder: Path, name: str) -> None:
    """Write the grids of what the sections have drawn."""
    drawn = bench.pictures
    groups = {
        "languages": [key for key in (*bench.truth.table["languages"], "emoji") if key in drawn],
        "backgrounds": [key for key in drawn if key.startswith("on ")],
        "two-objects": [key for key in drawn if key.startswith("two ")],
    }
    groups |= {f"{size}x": [key for key in drawn if key.startswith(f"{size}× ")] for size in ("1.5", "2", "4")}
    for group, keys in groups.items():
        if keys:
            columns = min(8, *(len(drawn[key]) for key in keys))
            write_grid(folder / f"{name}-{group}.png", [drawn[key] for key in keys], columns)


if __name__ == "__main__":
    main()
