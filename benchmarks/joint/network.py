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

from ...nextdit.files import read_weights
from ...training.loop.flow import initialise
from .config import CONFIG, CONFIG_KEY, read_config


def build(config: dict[str, Any] = CONFIG) -> NextDiT:
    """Return an untrained network in float32; its `config` has what it was built from."""
    sizes = {key: value for key, value in config.items() if key != "image_model"}
    network = NextDiT(**sizes, device="cpu", dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    for module in network.modules():
        if isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)
    initialise(network)
    nn.init.xavier_uniform_(network.cap_embedder[1].weight)  # here it makes tokens, in Next-DiT a part of the time
    network.config = SimpleNamespace(**config)
    return network


def save(network: NextDiT, file: Path, metadata: dict[str, str]) -> None:
    """Write a network in bfloat16, with what it takes to build it again."""
    weights = {key: x.to(torch.bfloat16).contiguous() for key, x in network.state_dict().items()}
    save_file(weights, file, {"format": "pt", CONFIG_KEY: json.dumps(vars(network.config)), **metadata})


def load(file: Path) -> NextDiT:
    """Return the network of a file in float32. Raises ValueError if it is none of `save`'s."""
    config = read_config(file)
    if config is None:
        raise ValueError(f"{file} is no network that benchmarks.joint trained: its metadata lacks {CONFIG_KEY}")
    network = build(config)
    network.load_state_dict({key: x.float() for key, x in read_weights(file).items()})
    return network
