"""What the small network is built from, and how a file says that it is one; needs no ComfyUI."""

import json
from pathlib import Path
from typing import Any

from ...nextdit.files import read_metadata

CONFIG_KEY = "comfyui_config"  # of the file's metadata
CONFIG: dict[str, Any] = {
    "image_model": "lumina2",
    "patch_size": 4,
    "in_channels": 3,
    "dim": 192,
    "n_layers": 6,
    "n_refiner_layers": 1,
    "n_heads": 3,
    "n_kv_heads": 1,
    "multiple_of": 64,
    "ffn_dim_multiplier": 8 / 3,
    "qk_norm": True,
    "cap_feat_dim": 128,
    "axes_dims": [16, 24, 24],
    "axes_lens": [300, 512, 512],
    "rope_theta": 1000.0,  # axes of 24 then turn as the first 12 of 16 numbers of the released model's axes of 32 do
}
"""What core's detection would find, if it knew other widths than those released."""


def read_config(file: Path) -> dict[str, Any] | None:
    """Return what a file's network is built from, None for a file that `save` did not write."""
    text = read_metadata(file).get(CONFIG_KEY) if file.suffix == ".safetensors" else None
    return None if text is None else json.loads(text)
