"""The options that every benchmark of a checkpoint has."""

import argparse
from pathlib import Path
from typing import Any

import torch

from ...nextdit.text import load_text_encoder
from .comfyui import add_comfyui
from .networks import open_network, trained_pixels
from .sections import BASE, Bench
from .timing import device_name
from .truth import DEMO, Truth

ROOT = Path(__file__).parents[2]


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare which checkpoint is measured, how it samples, and where results go; `name` is that of the files."""
    add = parser.add_argument
    add("--model", type=Path, default=DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    add("--text-encoder", type=Path, default=DEMO / "text_encoders" / "lumina-next-demo")
    add("--steps", type=int, default=20)
    add("--guidance", type=float, default=1.0)
    add("--method", default="euler", help="the solver")
    add("--schedule", default="uniform")
    add("--seeds", type=int, default=1)
    add("--batch", type=int, default=16, help="pictures at once")
    add("--size", type=int, help=f"in pixels, that the checkpoint was trained on (default: what it says, else {BASE})")
    add("--truth", type=Path, default=DEMO, help="folder of true pictures and concepts, as emoji.publish writes it")
    add("--device", default="cpu")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="what the networks compute in")
    add("--name", default=name, help="of the files in --results and --pictures")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
    add_comfyui(parser)
    add_redraw(parser)


def add_redraw(parser: argparse.ArgumentParser) -> None:
    """Declare --redraw."""
    parser.add_argument(
        "--redraw",
        action="store_true",
        help="measure nothing: write the tables and plots of the stored results anew (picture grids need a run)",
    )


def open_bench(options: argparse.Namespace) -> tuple[Bench, dict[str, Any]]:
    """Load what the options name; return it with the settings to be written down."""
    dtype = getattr(torch, options.dtype)
    model = open_network(options.model, options.comfyui, dtype, options.device)
    encoder = load_text_encoder(options.text_encoder, dtype=dtype, device=options.device)
    settings = {key: getattr(options, key) for key in ("steps", "guidance", "method", "schedule", "seeds")}
    base = options.size or trained_pixels(options.model, model.config.patch_size)
    truth = Truth(options.truth, getattr(model, "known", 0))
    bench = Bench(model, encoder, truth, **settings, batch=options.batch, base=base)
    return bench, {"model": options.model.name, "dtype": options.dtype, **run_on(bench.device), **settings}


def run_on(device: torch.device) -> dict[str, str]:
    """Return the setting that names a device other than the CPU, whose numbers differ in the last digits."""
    if device.type == "cpu":
        return {}
    return {"device": f"{device_name(device)} (torch {torch.__version__})"}
