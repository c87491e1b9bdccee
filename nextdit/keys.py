"""Names of the weights of text-conditioned Next-DiTs: the reference's, diffusers', and our modules'."""

import re
from collections.abc import Mapping

from torch import Tensor

from .family import Layout

GATE = "gate.norm.weight"  # what checkpoints keep as the bare parameter "gate"

# Our module (or bare parameter) → where diffusers' LuminaNextDiT2DModel keeps it. It stores the query twice.
DIFFUSERS: dict[str, tuple[str, ...]] = {
    "x_embedder": ("patch_embedder.proj",),
    "t_embedder.mlp.0": ("time_caption_embed.timestep_embedder.linear_1",),
    "t_embedder.mlp.2": ("time_caption_embed.timestep_embedder.linear_2",),
    "cap_embedder.0": ("time_caption_embed.caption_embedder.0",),
    "cap_embedder.1": ("time_caption_embed.caption_embedder.1",),
    "layers.#.attention.gate": ("layers.#.gate",),
    "layers.#.attention.wq": ("layers.#.attn1.to_q", "layers.#.attn2.to_q"),
    "layers.#.attention.wk": ("layers.#.attn1.to_k",),
    "layers.#.attention.wv": ("layers.#.attn1.to_v",),
    "layers.#.attention.wk_y": ("layers.#.attn2.to_k",),
    "layers.#.attention.wv_y": ("layers.#.attn2.to_v",),
    "layers.#.attention.wo": ("layers.#.attn2.to_out.0",),
    "layers.#.attention.q_norm": ("layers.#.attn1.norm_q", "layers.#.attn2.norm_q"),
    "layers.#.attention.k_norm": ("layers.#.attn1.norm_k",),
    "layers.#.attention.ky_norm": ("layers.#.attn2.norm_k",),
    "layers.#.adaLN_modulation.1": ("layers.#.norm1.linear",),
    "layers.#.attention_norm1": ("layers.#.norm1.norm",),
    "layers.#.attention_norm2": ("layers.#.norm2",),
    "layers.#.attention_y_norm": ("layers.#.norm1_context",),
    "layers.#.feed_forward.w1": ("layers.#.feed_forward.linear_1",),
    "layers.#.feed_forward.w2": ("layers.#.feed_forward.linear_2",),
    "layers.#.feed_forward.w3": ("layers.#.feed_forward.linear_3",),
    "final_layer.adaLN_modulation.1": ("norm_out.linear_1",),
    "final_layer.linear": ("norm_out.linear_2",),
}
FROM_DIFFUSERS = {theirs: ours for ours, all_theirs in DIFFUSERS.items() for theirs in all_theirs}


def model_key(key: str) -> str:
    """Return our module's name for one key (without prefix) of the reference or the diffusers layout."""
    module, _, leaf = key.rpartition(".")
    numbered = re.sub(r"(?<=^layers\.)\d+", "#", module)
    layer = re.match(r"layers\.(\d+)", module)
    if leaf == "gate":
        return f"{module if module.endswith('.attention') else f'{module}.attention'}.{GATE}"
    ours = FROM_DIFFUSERS.get(numbered)
    if ours is None:
        return key
    return f"{ours.replace('#', layer[1]) if layer else ours}.{leaf}"


def reference_key(key: str) -> str:
    """Return the reference layout's name for a key of ours: the gate is a bare parameter there."""
    return key.replace(f".attention.{GATE}", ".attention.gate")


def to_reference_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of ours to the reference layout."""
    return {reference_key(key): tensor for key, tensor in weights.items()}


def layouts(*more: str) -> tuple[Layout, ...]:
    """Return the layouts of a family whose files have `more` keys than a text-to-image model's, the same in all."""
    text = "layers.0.attention.wk_y.weight"
    return (
        Layout("reference", (text, "layers.0.attention.gate", *more), model_key),
        Layout("reference", (text, f"layers.0.attention.{GATE}", *more), model_key),
        Layout(
            "diffusers",
            ("layers.0.attn2.to_k.weight", "time_caption_embed.caption_embedder.1.weight", *more),
            model_key,
        ),
    )
