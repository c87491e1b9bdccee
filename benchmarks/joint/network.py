"""ComfyUI's own network of Lumina-Image-2.0, small and in pixel space, and its files. Needs a ComfyUI on the path."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.ops
import torch
from comfy.ldm.lumina.model import NextDiT
from safetensors.torch import save_file
from torch import nn

from ...nextdit.files import read_metadata, read_weights
from ...training.loop.flow import initialise

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


def build(config: dict[str, Any] = CONFIG) -> NextDiT:
    """Return an untrained network in float32; its `config` says what training and benchmarks ask of one."""
    sizes = {key: value for key, value in config.items() if key != "image_model"}
    network = NextDiT(**sizes, device="cpu", dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    for module in network.modules():
        if isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)
    initialise(network)
    nn.init.xavier_uniform_(network.cap_embedder[1].weight)  # here it makes tokens, in Next-DiT a part of the time
    network.config = SimpleNamespace(in_channels=config["in_channels"], patch_size=config["patch_size"])
    return network


def save(network: NextDiT, file: Path, metadata: dict[str, str], config: dict[str, Any] = CONFIG) -> None:
    """Write a network in bfloat16, with what it takes to build it again."""
    weights = {key: x.to(torch.bfloat16).contiguous() for key, x in network.state_dict().items()}
    save_file(weights, file, {"format": "pt", CONFIG_KEY: json.dumps(config), **metadata})


def read_config(file: Path) -> dict[str, Any] | None:
    """Return what a file's network is built from, None for a file that `save` did not write."""
    text = read_metadata(file).get(CONFIG_KEY) if file.suffix == ".safetensors" else None
    return None if text is None else json.loads(text)


def load(file: Path) -> NextDiT:
    """Return the network of a file in float32. Raises ValueError if it is none of `save`'s."""
    config = read_config(file)
    if config is None:
        raise ValueError(f"{file} is no network that benchmarks.joint trained: its metadata lacks {CONFIG_KEY}")
    network = build(config)
    network.load_state_dict({key: x.float() for key, x in read_weights(file).items()})
    return network
