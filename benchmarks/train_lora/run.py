"""What ComfyUI's own Train LoRA takes of a card's memory: `python -m lumina_next.benchmarks.train_lora`.

Z-Image and Lumina-Image-2.0 in their released shapes, one picture a step, by the node's checkpoint depth. Needs a
ComfyUI: `--comfyui`, or COMFYUI_PATH; no GPU and no weights.
"""

import argparse
from pathlib import Path
from typing import Any

from ..shared.comfyui import add_comfyui, start_comfyui
from ..shared.options import ROOT
from ..shared.report import brief, fill_document, stored_results, write_results

SHARED = {"patch_size": 2, "in_channels": 16, "n_refiner_layers": 2, "qk_norm": True, "multiple_of": 256}
MODELS: dict[str, dict[str, Any]] = {
    "Z-Image": SHARED
    | {
        "dim": 3840,
        "n_layers": 30,
        "n_heads": 30,
        "n_kv_heads": 30,
        "cap_feat_dim": 2560,
        "axes_dims": [32, 48, 48],
        "axes_lens": [1536, 512, 512],
        "rope_theta": 256.0,
        "ffn_dim_multiplier": 8 / 3,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    },
    "Lumina-Image-2.0": SHARED
    | {
        "dim": 2304,
        "n_layers": 26,
        "n_heads": 24,
        "n_kv_heads": 8,
        "cap_feat_dim": 2304,
        "axes_dims": [32, 32, 32],
        "axes_lens": [300, 512, 512],
        "rope_theta": 10000.0,
        "ffn_dim_multiplier": 4.0,
    },
}
NAME, TITLE = "train_lora", "Memory of a step"
SIDES, DEPTHS = (512, 768, 1024), (1, 2, 3)
SHOWN = ("model", "pixels", *(f"depth {depth}, GiB" for depth in DEPTHS))
RANK = 16


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_comfyui(parser)
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    add("--document", type=Path, default=ROOT / "docs" / "lora.md", help="page whose table is written anew")
    add("--redraw", action="store_true", help="only write the page anew, from stored results")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    settings: dict[str, Any]
    if options.redraw:
        settings, sections = stored_results(options.results, NAME, needed=True)
    else:
        start_comfyui(options.comfyui)
        settings = {"counted": "GiB, from shapes alone", "weights": "bfloat16", "rank": RANK, "pictures a step": 1}
        sections = {TITLE: [row(model, side) for model in MODELS for side in SIDES]}
    write_results(options.results, NAME, settings, sections)
    fill_document(options.document, {TITLE: brief(sections[TITLE], SHOWN)})


def row(model: str, side: int) -> dict[str, Any]:
    """Return GiB by checkpoint depth for square pictures."""
    from .memory import GIB, count

    found = {depth: count(MODELS[model], (side, side), depth, RANK) for depth in DEPTHS}
    fixed = found[DEPTHS[0]]
    return {
        "model": model,
        "pixels": f"{side} × {side}",
        "weights": fixed.weights / GIB,
        "LoRA and AdamW": fixed.lora / GIB,
        **{f"depth {depth}, GiB": memory.total / GIB for depth, memory in found.items()},
    }
