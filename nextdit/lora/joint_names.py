"""What LoRA files call the modules of Lumina-Image-2.0, Z-Image and their kin, beside ComfyUI's own names."""

import re
from collections.abc import Iterable

FUSED = "attention.qkv"
BLOCK = r"(?:layers|noise_refiner|context_refiner)\.\d+"

# Our module within a block → what diffusers' ZImageTransformer2DModel and Lumina2Transformer2DModel call it.
DIFFUSERS: dict[str, tuple[str, ...]] = {
    "attention.to_q": ("attn.to_q",),
    "attention.to_k": ("attn.to_k",),
    "attention.to_v": ("attn.to_v",),
    "attention.out": ("attention.to_out.0", "attention.to_out", "attn.to_out.0", "attn.to_out"),
    "attention.q_norm": ("attention.norm_q", "attn.norm_q"),
    "attention.k_norm": ("attention.norm_k", "attn.norm_k"),
    "feed_forward.w1": ("feed_forward.linear_1",),
    "feed_forward.w2": ("feed_forward.linear_2",),
    "feed_forward.w3": ("feed_forward.linear_3",),
    "adaLN_modulation.1": ("norm1.linear",),
    "attention_norm1": ("norm1.norm", "norm1"),
    "attention_norm2": ("norm2",),
}
OUTSIDE: dict[str, tuple[str, ...]] = {
    "x_embedder": ("all_x_embedder.2-1",),
    "final_layer.linear": ("all_final_layer.2-1.linear", "norm_out.linear_2"),
    "final_layer.adaLN_modulation.1": ("all_final_layer.2-1.adaLN_modulation.1", "norm_out.linear_1"),
    "t_embedder.mlp.0": ("time_caption_embed.timestep_embedder.linear_1",),
    "t_embedder.mlp.2": ("time_caption_embed.timestep_embedder.linear_2",),
    "cap_embedder.0": ("time_caption_embed.caption_embedder.0",),
    "cap_embedder.1": ("time_caption_embed.caption_embedder.1",),
}


def is_joint(keys: Iterable[str]) -> bool:
    """Tell whether these are the weights of such a network."""
    return any(re.fullmatch(rf"{BLOCK}\.{FUSED}\.weight", key) for key in keys)


def diffusers_names(module: str) -> tuple[str, ...]:
    """Return what diffusers calls a module: those of both its networks, as no file mixes them."""
    block = re.match(rf"({BLOCK}\.)(.+)", module)
    if block is None:
        return OUTSIDE.get(module, ())
    return tuple(block[1] + name for name in DIFFUSERS.get(block[2], ()))
