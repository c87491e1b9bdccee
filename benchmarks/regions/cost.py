"""Time two regions against one prompt: `python -m lumina_next.benchmarks.regions.cost --model R64/model.safetensors`.

One evaluation of a network of core's that benchmarks.joint trained, without areas, regions and prompt in turn, in
seconds of one thread of the processor. Writes benchmarks/results/regions_cost.md and .json.
"""

import argparse
import statistics
from functools import partial
from pathlib import Path

import torch

from ..shared.comfyui import add_comfyui
from ..shared.networks import open_network
from ..shared.options import ROOT
from ..shared.report import write_results
from ..shared.timing import Calls, alternate, device_name
from .layouts import Layout

WORDS = 24  # tokens of a prompt
SIDES = (64, 128, 192)


@torch.inference_mode()
def compare(model, side: int, rounds: int) -> dict:
    """Return the seconds of an evaluation of a picture of side × 2·side with one prompt and with two regions."""
    layout = Layout("side by side", 1, 2, side)
    generator = torch.Generator().manual_seed(0)
    width = model.config.cap_feat_dim
    texts = [(torch.randn(1, WORDS, width, generator=generator), None) for _ in range(3)]
    x, t = torch.randn(1, 3, *layout.size, generator=generator), torch.full((1,), 0.5)
    calls: Calls = {
        "one prompt": partial(model, x, t, *texts[0]),
        "two regions": partial(model.regional(texts, layout.masks()), x, t),
    }
    found = alternate(calls, torch.device("cpu"), rounds, "cpu")
    ratios = [b / a for a, b in zip(*found.values(), strict=True)]
    spread = statistics.quantiles(ratios, n=40)
    ratio = {"value": statistics.median(ratios), "low": spread[0], "high": spread[-1], "n": rounds}
    medians = {f"{name}, s": statistics.median(seconds) for name, seconds in found.items()}
    return {"picture": f"{side} × {2 * side}", "tokens": side * side // 8, **medians, "ratio": ratio}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES, help="of a region, in pixels")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add_comfyui(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = open_network(options.model, options.comfyui, torch.float32)
    rows = [compare(model, side, options.rounds) for side in options.sides]
    settings = {"model": options.model.name, "device": device_name(torch.device("cpu")), "rounds": options.rounds}
    write_results(options.results, "regions_cost", settings, {"An evaluation": rows})


if __name__ == "__main__":
    main()
