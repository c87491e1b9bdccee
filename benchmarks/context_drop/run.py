"""Quality and time against the context dropped: `python -m lumina_next.benchmarks.context_drop`.

Every window, fade and side of RoPE to pool on, at 1×, 2× and 4×. Writes benchmarks/results/context_drop.*, the plot
docs/pictures/context_drop.svg (the question of the paper's figure 9b) and the tables in docs/context_drop.md; under
another --name the document stays as it is. Sizes that are not asked for keep what an earlier run found.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ...nextdit import ContextDrop
from ...nextdit.context_drop import FADES
from ...nextdit.layers.rope_scaling import TIME_AWARE_LATE
from ..shared.metrics import mean, psnr
from ..shared.options import ROOT, add_options, open_bench
from ..shared.plot import plot_context_drop, require_matplotlib
from ..shared.report import brief, fill_document, measured_with, settings_text, stored_results, write_results
from ..shared.sections import Bench, Row, summary
from ..sizes.run import prompt_count, scaling, timed

FACTORS = {"1×": 1, "2×": 2, "4×": 4}
PROMPTS = ("24", "4×=4")
LATE = 0.2  # when a drop that leaves the first steps alone begins (t)
KEPT = ("identity", "one object", "psnr", "perceptual", "edges")
SHOWN = ("window", "fade", "dropped", "lost", "times")  # the columns in docs/context_drop.md


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, name="context_drop")
    add = parser.add_argument
    add("--sizes", nargs="*", choices=FACTORS, default=list(FACTORS))
    add("--windows", nargs="*", type=int, default=[2, 3, 4])
    add("--rope", default=TIME_AWARE_LATE, help="METHOD[,key=number…][,proportional]")
    add("--prompts", nargs="*", default=PROMPTS, help="how many; SIZE=number for one size (default: %(default)s)")
    add("--document", type=Path, default=ROOT / "docs" / "context_drop.md", help="whose tables are filled in")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    require_matplotlib()
    said, results = stored_results(options.results, options.name, needed=options.redraw)
    if options.redraw:
        return publish(options, said, results, results)
    bench, settings = open_bench(options)
    settings["rope"] = options.rope
    for size in (progress := tqdm(options.sizes)):
        progress.set_postfix_str(size)
        start, count = time.monotonic(), prompt_count(options.prompts, size)
        results[size] = measure(bench, size, options, count)
        said[size] = settings_text(settings | {"prompts": count, "seconds": round(time.monotonic() - start)})
        results = {key: results[key] for key in FACTORS if key in results}
        publish(options, said, results, [size])


def publish(options: argparse.Namespace, said: dict[str, str], results: dict[str, Any], fresh: Iterable[str]) -> None:
    """Write the results, the plot, and the tables of the `fresh` sizes in the document."""
    write_results(options.results, options.name, said, results)
    plot_context_drop(options.pictures / f"{options.name}.svg", results)
    if options.name == "context_drop":
        for size in fresh:  # where keys are pooled makes no difference: benchmarks/notes/context_drop.md
            rows = [row for row in results[size] if row["pooled"] != "before RoPE"]
            fill_document(options.document, {size: f"{brief(rows, SHOWN)}\n\n{measured_with(said[size])}"})


def measure(bench: Bench, size: str, options: argparse.Namespace, count: int) -> list[Row]:
    """Return the row of the whole context, then one for every way to drop."""
    side = bench.base * FACTORS[size]
    prompts, concepts = bench.truth.prompts(count)
    drawing = {"rope": scaling(options.rope, side, side, bench)}
    timed(bench, prompts[:1], side, side, **drawing)  # the first call of a size is slower
    whole, whole_seconds = timed(bench, prompts, side, side, **drawing)
    rows = [
        row(bench, "none", "", "", whole, whole, concepts) | {"dropped": 0.0, "seconds": whole_seconds, "times": 1.0}
    ]
    for drop in ways(options.windows, getattr(bench.model, "pools_before_rope", True)):
        pictures, seconds = timed(bench, prompts, side, side, **drawing, drop=drop)
        fade = f"{drop.fade}, from t = {drop.start:g}" if drop.start else drop.fade
        where = "before RoPE" if drop.before_rope else "after RoPE"
        found = row(bench, f"{drop.window} × {drop.window}", fade, where, pictures, whole, concepts)
        share = dropped(drop, side // bench.model.config.patch_size, bench)
        rows.append(found | {"dropped": share, "seconds": seconds, "times": whole_seconds / seconds})
    return rows


def ways(windows: list[int], before_rope: bool = True) -> list[ContextDrop]:
    """Return every way to drop that is measured, those before RoPE too if the model has them."""
    places = (False, True) if before_rope else (False,)
    early = [ContextDrop(w, fade, before_rope=where) for w in windows for fade in FADES for where in places]
    return [*(ContextDrop(w, "linear", start=LATE) for w in windows), *early]


def row(bench: Bench, window: str, fade: str, where: str, pictures: Tensor, whole: Tensor, concepts: list[int]) -> Row:
    """Return how the pictures score, and what they lost in PSNR to those with the whole context, picture by picture."""
    measured = bench.measures(pictures, concepts * bench.seeds)
    true = bench.truth.pictures(pictures.shape[-1])[concepts * bench.seeds]
    scores = summary({key: measured[key] for key in KEPT})
    return {
        "window": window,
        "fade": fade,
        "pooled": where,
        **scores,
        "lost": mean(psnr(whole, true) - measured["psnr"]),
    }


def dropped(drop: ContextDrop, tokens: int, bench: Bench) -> float:
    """Return the share of keys, in percent over all layers and steps, that attention did without."""
    layers, steps = bench.model.config.n_layers, bench.steps
    kept = (-(-tokens // drop.window) / tokens) ** 2
    share = sum(drop.layers(step / steps, layers) for step in range(steps)) / (layers * steps)
    return 100 * share * (1 - kept)
