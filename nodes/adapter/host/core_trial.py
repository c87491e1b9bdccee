"""What ComfyUI's Lumina network of this release does, found out by running a tiny one: sources change, doors move."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


@dataclass(frozen=True)
class Trial:
    """Whether the main layers say which one attends, and whether one call of the embedding is for text and image.

    0.3.64 does not, and has one.
    """

    numbered: bool
    embeds_at_once: bool


@cache
def tried() -> Trial:
    """Run the tiny network."""
    from comfy.ldm.lumina.model import NextDiT
    from comfy.ops import disable_weight_init

    sizes = {"dim": 24, "n_heads": 1, "n_kv_heads": 1, "cap_feat_dim": 8, "axes_dims": [8, 8, 8], "multiple_of": 8}
    counts = {"patch_size": 2, "in_channels": 4, "n_layers": 1, "n_refiner_layers": 1, "ffn_dim_multiplier": 1.0}
    network = NextDiT(**sizes, **counts, operations=disable_weight_init, device="cpu", dtype=torch.float32)
    said: list[Any] = []
    embedded: list[int] = []

    def look(func, *args, **kwargs):
        options = kwargs.get("transformer_options") or {}
        said.append((options.get("block_type"), options.get("block_index")))
        return func(*args, **kwargs)

    network.rope_embedder.register_forward_hook(lambda module, given, out: embedded.append(given[0].shape[1]))
    x, text = torch.zeros(1, 4, 4, 4), torch.zeros(1, 2, 8)
    with torch.inference_mode():
        network(x, torch.ones(1), text, num_tokens=2, transformer_options={"optimized_attention_override": look})
    return Trial(("double", 0) in said, len(embedded) == 1)
