"""Names of weights: which checkpoint is this, how do its keys map onto our modules, what architecture is it."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .config import NextDiTConfig
from .quantised import FORMATS, quantised_modules

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

    A quantised matrix may be stored packed or filled up: where one is, vectors and plain matrices tell. Raises
    ValueError if a weight that tells it is missing or the sizes do not fit together.
    """
    packed = quantised_modules(shapes)

    def shape(key: str) -> tuple[int, ...]:
        if key not in shapes:
            raise ValueError(f"{key} is missing, which tells the architecture")
        return tuple(shapes[key])

    n_layers = 1 + max((int(m[1]) for key in shapes if (m := re.match(r"layers\.(\d+)\.", key))), default=0)

    def side(*names: tuple[str, int]) -> tuple[int, bool]:
        """Return the length of a side that matrices share in every layer, and whether one stored plainly tells it."""
        places = [(f"layers.{n}.{name}", axis) for n in range(n_layers) for name, axis in names]
        plain = [place for place in places if place[0] not in packed and f"{place[0]}.weight" in shapes]
        module, axis = (plain or places)[0]
        return shape(f"{module}.weight")[axis], bool(plain)

    x_inputs, frequencies = shape("x_embedder.weight")[1], shape("t_embedder.mlp.0.weight")[1]
    if "t_embedder.mlp.0" in packed and 2 * frequencies == NextDiTConfig.time_frequencies:
        frequencies *= 2  # two numbers to a byte
    dim, n_heads = shape("layers.0.attention_norm1.weight")[0], shape(f"layers.0.attention.{GATE}")[0]
    outputs = shape("final_layer.linear.bias")[0]
    in_channels, patch_size = split_patch(patch_inputs(outputs) if "x_embedder" in packed else x_inputs)
    kv_dim, told = side(*((f"attention.{name}", 0) for name in ("wk_y", "wk", "wv", "wv_y")))
    qk_norm = "layers.0.attention.q_norm.weight" in shapes
    if not told:
        kv_dim = shape("layers.0.attention.k_norm.weight")[0] if qk_norm else unfilled(kv_dim, dim // n_heads, n_heads)
    return NextDiTConfig(
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=kv_dim * n_heads // dim,
        text_dim=shape("cap_embedder.0.weight")[0],
        in_channels=in_channels,
        out_channels=outputs // patch_size**2,
        patch_size=patch_size,
        ffn_dim=side(("feed_forward.w1", 0), ("feed_forward.w3", 0), ("feed_forward.w2", 1))[0],
        time_dim=shape("t_embedder.mlp.0.bias")[0],
        time_frequencies=frequencies,
        qk_norm=qk_norm,
    )


def unfilled(rows: int, head_dim: int, n_heads: int) -> int:
    """Return the rows that key heads have in a quantised matrix, which some forms fill up to `rows`.

    Raises ValueError if several numbers of heads, or none, would be filled up so.
    """
    sizes = [n * head_dim for n in range(1, n_heads + 1) if n_heads % n == 0]
    fits = [size for size in sizes if rows in {form.shape(size, 1)[0] for form in FORMATS.values()}]
    if len(fits) != 1:
        raise ValueError(
            f"the quantised keys have {rows} rows, which {len(fits)} numbers of heads of {head_dim} could have: use "
            "the file that is not quantised"
        )
    return fits[0]


def patch_inputs(outputs: int) -> int:
    """Return the inputs per token of a network with as many outputs, or with half of them a variance head."""
    return next((n for n in (outputs, outputs // 2) if fitting_patch(n)), outputs)


def split_patch(features: int) -> tuple[int, int]:
    """Tell (channels, patch size) from the inputs per token: 4 (SDXL), 16 (FLUX) or 3 channels (pixels).

    The smallest patch size that fits one of them wins. Raises ValueError if none does.
    """
    found = fitting_patch(features)
    if found is None:
        raise ValueError(f"x_embedder takes {features} numbers per token, which fits no known channel count (3, 4, 16)")
    return found


def fitting_patch(features: int) -> tuple[int, int] | None:
    """Return (channels, patch size) as `split_patch`, None if nothing fits."""
    for patch_size in (2, 4, 8, 16, 1):
        for channels in (4, 16, 3):
            if channels * patch_size**2 == features:
                return channels, patch_size
    return None
