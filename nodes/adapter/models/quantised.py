"""Quantised files in ComfyUI: core's layers read them, once every layer stands in the one spelling that those know."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ....nextdit.checkpoint import expected_shapes
from ....nextdit.family import Family
from ....nextdit.quantised import (
    FLAG,
    FLOATS,
    INPUT_SCALES,
    MARKER,
    READABLE,
    SCALES,
    kept_plain,
    layer_of,
    marker,
    quantised_modules,
    scale_of,
    stored,
)

# Formats by name; releases before core had them read scaled fp8 in their own way, and get the file as it is.
try:
    from comfy.quant_ops import QUANT_ALGOS as KNOWN
except ImportError:
    KNOWN = {}
# Left over without harm: layers whose format does not use it quantise their input by what is in it.
UNREAD = {*INPUT_SCALES, FLAG}


def settle(weights: dict[str, Tensor], names: Mapping[str, str], family: Family, config) -> None:
    """Spell the quantised layers of a state dict of ours as core does: `comfy_quant`, `weight_scale`; in place.

    Core does so for the prefixes that it knows, and for markers that the file has. `names` maps keys of `weights` to
    our modules'. Raises ValueError, naming the layer, on a format that this ComfyUI does not know, or a damaged one.
    """
    packed = quantised_modules(names)
    if not (packed and KNOWN):
        return
    shapes = expected_shapes(family, config)
    for module in packed:
        if f"{module}.weight" not in weights:
            weights.pop(f"{module}.{MARKER}", None)  # core repeats a file's metadata under names without its prefix
        elif (layer := layer_of(module, weights)) is not None:
            settle_layer(module, weights, layer, shapes.get(names[f"{module}.weight"]))


def settle_layer(module: str, weights: dict[str, Tensor], layer: dict, shape: tuple[int, ...] | None) -> None:
    """Spell one layer, whose matrix has `shape`, as core does. Raises ValueError as `settle`."""
    key, form = f"{module}.weight", layer["format"]
    if form not in KNOWN:
        raise ValueError(
            f"{key} is quantised as {form!r}, which this ComfyUI does not know (it knows {', '.join(KNOWN)}): update "
            "ComfyUI, or use a file in one of these formats"
        )
    scale = scale_of(module, weights) if form in READABLE else None
    if scale is not None:
        for name in SCALES:
            weights.pop(f"{module}.{name}", None)
    plain = kept_plain(weights[key]) and form in FLOATS
    if not plain:
        weights[key] = stored(module, weights[key], layer, shape)
    if form in FLOATS and scale is not None and (plain or scale.ndim):  # core's fp8 knows one scale a matrix
        dtype = weights[key].dtype if plain else torch.bfloat16
        weights[key] = (weights[key].float() * scale.float()).to(dtype)
        weights.pop(f"{module}.{MARKER}", None)
        return
    if scale is not None:
        weights[f"{module}.{SCALES[0]}"] = scale
    ours, older = (f"{module}.{name}" for name in INPUT_SCALES)
    if older in weights:
        weights[ours] = weights.pop(older)
    weights[f"{module}.{MARKER}"] = marker(layer)


def refuse_left_over(keys: list[str]) -> None:
    """Raise ValueError if ComfyUI's layers left tensors of a file unread, other than those that change nothing."""
    unread = [key for key in keys if key.rpartition(".")[2] not in UNREAD]
    if unread:
        more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
        raise ValueError(
            f"no layer of this ComfyUI reads {', '.join(unread[:10])}{more}, and without it weights are wrong: update "
            "ComfyUI, or use the file that is not quantised"
        )
