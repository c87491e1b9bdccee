"""Names of weights: which checkpoint is this, how do its keys map onto our modules, what architecture is it."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .config import NextDiTConfig

GATE = "gate.norm.weight"  # what checkpoints keep as the bare parameter "gate"
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "module.", "model.", "transformer.")

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

# Families that are easily taken for this one: a key that gives them away → what to say.
NOT_OURS = (
    (r"noise_refiner\.|attention\.qkv\.weight$", "Lumina-Image-2.0 or Z-Image: use ComfyUI's own Load Diffusion Model"),
    (r"eol_token$", "the Lumina-T2I Flag-DiT, which this version does not support"),
    (r"y_embedder\.embedding_table\.weight$", "a class-conditional Next-DiT, which this version does not support"),
    (
        r"^(model\.diffusion_model\.)?blocks\.0\.attention\.wk_y",
        "a Lumina audio model, which this version does not support",
    ),
    (r"model\.layers\.0\.self_attn\.q_proj\.weight$", "a language model: use Load LLM Text Encoder"),
    (r"decoder\.conv_out\.weight$", "a VAE: use ComfyUI's own Load VAE"),
)


class UnknownCheckpoint(ValueError):
    """The weights are not those of a text-to-image Next-DiT."""


def prefix_of(keys: Iterable[str]) -> str | None:
    """Return the prefix before a text-to-image Next-DiT's keys ("" for none), or None if they are of another kind."""
    keys = set(keys)
    for prefix in ("", *PREFIXES, *(a + b for a in PREFIXES for b in PREFIXES)):
        if f"{prefix}layers.0.attention.wk_y.weight" in keys and (
            f"{prefix}layers.0.attention.gate" in keys or f"{prefix}layers.0.attention.{GATE}" in keys
        ):
            return prefix
        if (
            f"{prefix}layers.0.attn2.to_k.weight" in keys
            and f"{prefix}time_caption_embed.caption_embedder.1.weight" in keys
        ):
            return prefix
    return None


def is_multiview(keys: Iterable[str]) -> bool:
    """Tell whether keys, named as our modules, are those of a multi-view model."""
    return any(key.startswith("azimuth_embedder.") for key in keys)


def explain_unknown(keys: Iterable[str]) -> str:
    """Say in a clause what kind of checkpoint has these keys, as far as it is known."""
    keys = list(keys)
    for pattern, what in NOT_OURS:
        if any(re.search(pattern, key) for key in keys):
            return what
    sample = ", ".join(sorted(keys)[:3]) or "none at all"
    return f"not a text-to-image Next-DiT, which has layers.0.attention.wk_y.weight; its first keys: {sample}"


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


def model_keys(keys: Iterable[str]) -> dict[str, str]:
    """Map the keys of a checkpoint of either layout, with any known prefix, to our modules' names.

    Keys without the prefix (a VAE in the same file) stay out. Raises UnknownCheckpoint if it is not a text-to-image
    Next-DiT.
    """
    keys = list(keys)
    prefix = prefix_of(keys)
    if prefix is None:
        raise UnknownCheckpoint(explain_unknown(keys))
    return {key: model_key(key[len(prefix) :]) for key in keys if key.startswith(prefix)}


def to_model_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict as `model_keys` says.

    Raises UnknownCheckpoint, or ValueError if diffusers' two copies of a query differ.
    """
    renamed: dict[str, Tensor] = {}
    for key, name in model_keys(weights).items():
        tensor = weights[key]
        if name in renamed and not torch.equal(renamed[name].float(), tensor.float()):
            raise ValueError(f"the two copies of {name} in the diffusers layout differ (second: {key})")
        renamed.setdefault(name, tensor)
    return renamed


def to_reference_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our module names to the reference layout: the gate becomes a bare parameter again."""
    return {key.replace(f".attention.{GATE}", ".attention.gate"): tensor for key, tensor in weights.items()}


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> NextDiTConfig:
    """Read the architecture off the shapes of weights named as our modules.

    Raises ValueError if a weight that tells it is missing or the sizes do not fit together.
    """

    def shape(key: str) -> tuple[int, ...]:
        if key not in shapes:
            raise ValueError(f"{key} is missing, which tells the architecture")
        return tuple(shapes[key])

    dim, patch_features = shape("x_embedder.weight")
    n_heads = shape(f"layers.0.attention.{GATE}")[0]
    kv_dim, text_dim = shape("layers.0.attention.wk_y.weight")
    time_dim, time_frequencies = shape("t_embedder.mlp.0.weight")
    in_channels, patch_size = split_patch(patch_features)
    return NextDiTConfig(
        dim=dim,
        n_layers=1 + max(int(m[1]) for key in shapes if (m := re.match(r"layers\.(\d+)\.", key))),
        n_heads=n_heads,
        n_kv_heads=kv_dim * n_heads // dim,
        text_dim=text_dim,
        in_channels=in_channels,
        out_channels=shape("final_layer.linear.weight")[0] // patch_size**2,
        patch_size=patch_size,
        ffn_dim=shape("layers.0.feed_forward.w1.weight")[0],
        time_dim=time_dim,
        time_frequencies=time_frequencies,
        qk_norm="layers.0.attention.q_norm.weight" in shapes,
    )


def split_patch(features: int) -> tuple[int, int]:
    """Tell (channels, patch size) from the inputs per token: 4 (SDXL), 16 (FLUX) or 3 channels (pixels).

    The smallest patch size that fits one of them wins. Raises ValueError if none does.
    """
    for patch_size in (2, 4, 8, 16, 1):
        for channels in (4, 16, 3):
            if channels * patch_size**2 == features:
                return channels, patch_size
    raise ValueError(f"x_embedder takes {features} numbers per token, which fits no known channel count (3, 4, 16)")
