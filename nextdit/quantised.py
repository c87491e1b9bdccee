"""Quantised weights: the forms in which ComfyUI's files keep a layer's matrix, and how to get its numbers back.

Beside a quantised `weight` stand its scales, and a `comfy_quant` tensor with a JSON text that names the form. Older
files tell the form of all layers in their metadata (`_quantization_metadata`), or have fp8 weights and scales alone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .files import FLOATS_OF_8_BITS

MARKER = "comfy_quant"
METADATA_KEY = "_quantization_metadata"
# One factor for a matrix, or one a row, under the name of ComfyUI's files and under the name of older ones.
SCALES = ("weight_scale", "scale_weight")
# What only a product of quantised numbers on both sides needs: the scale of the layer's input.
INPUT_SCALES = ("input_scale", "scale_input")
FLAG = "scaled_fp8"  # one for a whole file of the older kind


@dataclass(frozen=True)
class Format:
    """How a matrix is stored: the dtype, what stands beside it, how rows and columns are filled up and packed."""

    dtype: torch.dtype
    extras: tuple[str, ...] = SCALES
    multiple: int = 1  # rows and columns are filled up with zeros to a multiple of this
    packed: int = 1  # numbers of a row that share one stored number

    def shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the shape in which a matrix of rows × columns is stored."""
        rows, columns = (-(-n // self.multiple) * self.multiple for n in (rows, columns))
        return rows, columns // self.packed


# ComfyUI 0.33: QUANT_ALGOS in comfy/quant_ops.py, the layouts of comfy_kitchen, and what comfy/ops.py reads for each.
FORMATS = {
    "float8_e4m3fn": Format(torch.float8_e4m3fn),
    "float8_e5m2": Format(torch.float8_e5m2),
    "int8_tensorwise": Format(torch.int8),
    "mxfp8": Format(torch.float8_e4m3fn, multiple=32),
    "nvfp4": Format(torch.uint8, ("weight_scale", "weight_scale_2", "pre_quant_scale"), multiple=16, packed=2),
    "convrot_w4a4": Format(torch.int8, ("weight_scale",), packed=2),
    "asym_w4a8_int8": Format(torch.int8, ("weight_s_rel", "weight_s_channel", "weight_codebook"), packed=2),
}
BY_DTYPE = {torch.float8_e4m3fn: "float8_e4m3fn", torch.float8_e5m2: "float8_e5m2", torch.int8: "int8_tensorwise"}
READABLE = tuple(BY_DTYPE.values())
FLOATS = READABLE[:2]
EXTRAS = frozenset({MARKER, *INPUT_SCALES}.union(*(form.extras for form in FORMATS.values())))


def quantised_modules(keys: Iterable[str]) -> set[str]:
    """Return the modules that keep something of a quantised matrix: the shape of their `weight` may be a packed one."""
    return {module for module, _, leaf in (key.rpartition(".") for key in keys) if module and leaf in EXTRAS}


def filled_to(module: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the multiple that a quantised module's rows are filled up to, as the scales beside its weight tell."""
    if f"{module}.weight_scale_2" in shapes:
        return FORMATS["nvfp4"].multiple
    scale = tuple(shapes.get(f"{module}.weight_scale", ()))  # mxfp8 has one for each block of a row
    return FORMATS["mxfp8"].multiple if len(scale) == 2 and scale[1] > 1 else 1


def extra_keys(keys: Iterable[str]) -> set[str]:
    """Return the keys that are no weights but stand beside quantised ones, and markers, of unknown forms too."""
    keys = set(keys)
    found = {key for key in keys if key == FLAG or key.endswith(f".{MARKER}")}
    for key in keys - found:
        module, _, leaf = key.rpartition(".")
        known = leaf in EXTRAS or (f"{module}.{MARKER}" in found and leaf not in ("weight", "bias"))
        if known and f"{module}.weight" in keys:
            found.add(key)
    return found


def marker(layer: Mapping) -> Tensor:
    """Return a layer's form, such as {"format": "nvfp4"}, as the tensor that ComfyUI keeps beside its weight."""
    return torch.frombuffer(bytearray(json.dumps(layer).encode()), dtype=torch.uint8)


def markers(weights: Mapping[str, Tensor], metadata: Mapping[str, str], prefix: str = "") -> dict[str, Tensor]:
    """Return the markers that a file keeps in its metadata, for the layers (with or without `prefix`) in `weights`.

    Raises ValueError if that metadata cannot be read.
    """
    if METADATA_KEY not in metadata:
        return {}
    try:
        layers = json.loads(metadata[METADATA_KEY])["layers"]
        names = [(name, layer) for name, layer in layers.items() if isinstance(layer, dict)]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its metadata {METADATA_KEY} cannot be read ({error!r}): download it again") from error
    found = {}
    for name, layer in names:
        for module in (name, prefix + name):
            if f"{module}.weight" in weights:
                found[f"{module}.{MARKER}"] = marker(layer)
    return found


def layer_of(module: str, weights: Mapping[str, Tensor]) -> dict | None:
    """Return the form of a module's weight, as its marker or else its dtype and scale tell, None if it is a plain one.

    Raises ValueError if there are scales of which nothing says to which form they belong.
    """
    mark, weight = weights.get(f"{module}.{MARKER}"), weights[f"{module}.weight"]
    if mark is not None:
        try:
            layer = json.loads(bytes(mark.cpu().view(torch.uint8).numpy()))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{module}.{MARKER} cannot be read ({error}): download the file again") from error
        if not isinstance(layer, dict) or not isinstance(layer.get("format"), str):
            raise ValueError(f"{module}.{MARKER} is {layer!r}, expected an object with a format: download it again")
        if layer["format"] == "float8_e4m3fn" and weight.dtype is torch.float8_e5m2:
            layer = layer | {"format": "float8_e5m2"}  # ComfyUI takes every file of the older kind for e4m3
        return layer
    extras = sorted(leaf for leaf in EXTRAS - {*INPUT_SCALES, MARKER} if f"{module}.{leaf}" in weights)
    if not extras:
        return None
    if set(extras) <= set(SCALES) and weight.dtype in BY_DTYPE:
        return {"format": BY_DTYPE[weight.dtype]}
    if set(extras) <= set(SCALES) and kept_plain(weight):
        return {"format": FLOATS[0]}
    raise ValueError(
        f"{module} has {', '.join(extras)}, but no {MARKER} that says how its weight is quantised: use the file as "
        "its author published it, or the one that is not quantised"
    )


def stored(module: str, weight: Tensor, layer: Mapping, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return a quantised weight in its form's dtype, checked; fp8 numbers may be stored as uint8.

    `shape` is the matrix's own. A form that is not in FORMATS is not checked. Raises ValueError.
    """
    form = FORMATS.get(layer["format"])
    if form is None:
        return weight
    if weight.dtype.itemsize == 1 and torch.uint8 in (weight.dtype, form.dtype):
        weight = weight.view(form.dtype)
    expected = None if shape is None else form.shape(*shape)
    if weight.dtype is not form.dtype or (expected is not None and tuple(weight.shape) != expected):
        size = "" if expected is None else f" of shape {expected}"
        raise ValueError(
            f"{module}.weight is {weight.dtype} of shape {tuple(weight.shape)}, expected {form.dtype}{size} for the "
            f"format {layer['format']} that stands beside it: download the file again"
        )
    return weight


def kept_plain(weight: Tensor) -> bool:
    """Tell whether a weight has more than 8 bits a number: a layer that a file of scaled fp8 did not quantise."""
    return weight.is_floating_point() and weight.dtype not in FLOATS_OF_8_BITS


def scale_of(module: str, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the factor of a module's elementwise quantised weight (N, K): one number, or a column (N, 1).

    Raises ValueError on a scale of another shape.
    """
    key = next((f"{module}.{name}" for name in SCALES if f"{module}.{name}" in weights), None)
    if key is None:
        return torch.ones(())
    scale, rows = weights[key], weights[f"{module}.weight"].shape[0]
    if scale.numel() == 1:
        return scale.reshape(())
    if tuple(scale.shape) not in ((rows,), (rows, 1)):
        raise ValueError(
            f"{key} has shape {tuple(scale.shape)}, expected one number or one for each of {rows} rows: scales of "
            "blocks are not read here; use the file that is not quantised"
        )
    return scale.reshape(rows, 1)


def dequantise(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights in `dtype`, those of READABLE forms multiplied with their scales, and nothing of the extras.

    Raises ValueError, naming the layer, on another form, and on extras that its form does not have.
    """
    plain = {key: tensor for key, tensor in weights.items() if key != FLAG and not key.endswith(f".{MARKER}")}
    for module in quantised_modules(weights):
        if f"{module}.weight" not in weights:
            continue
        layer = layer_of(module, weights)
        for leaf in INPUT_SCALES if layer is None else (*SCALES, *INPUT_SCALES):
            plain.pop(f"{module}.{leaf}", None)
        if layer is not None:
            plain[f"{module}.weight"] = numbers(module, weights, layer)
    return {key: tensor.to(dtype) for key, tensor in plain.items()}


def numbers(module: str, weights: Mapping[str, Tensor], layer: Mapping) -> Tensor:
    """Return a module's weight as float32, read as its form says. Raises ValueError as `dequantise` does."""
    form, weight = layer["format"], weights[f"{module}.weight"]
    others = sorted(leaf for leaf in EXTRAS - {MARKER, *SCALES, *INPUT_SCALES} if f"{module}.{leaf}" in weights)
    if form not in READABLE or others:
        what = f"as {form}" + (f" with {', '.join(others)}" if others else "")
        raise ValueError(
            f"{module}.weight is quantised {what}, which ComfyUI may know but plain PyTorch here does not read (it "
            f"reads {', '.join(READABLE)}): use the file in ComfyUI, or the one of the same model that is not quantised"
        )
    if not (kept_plain(weight) and form in FLOATS):
        weight = stored(module, weight, layer)
    weight = weight.float() * scale_of(module, weights).float()
    options = {**(layer["params"] if isinstance(layer.get("params"), dict) else {}), **layer}
    if form == "int8_tensorwise" and options.get("convrot"):
        return turned(module, weight, int(options.get("convrot_groupsize", 256)))
    return weight


def turned(module: str, weight: Tensor, size: int) -> Tensor:
    """Undo ConvRot's rotation of a weight (N, K): each `size` columns times a regular Hadamard matrix, its own inverse.

    Raises ValueError unless `size` is a power of 4 that divides K.
    """
    hadamard, step = torch.ones(1, 1), torch.ones(4, 4) - 2 * torch.eye(4).flip(0)
    while len(hadamard) < size:
        hadamard = torch.kron(hadamard, step)
    if len(hadamard) != size or weight.shape[1] % size:
        raise ValueError(
            f"{module}.{MARKER} turns groups of {size} of {weight.shape[1]} columns, expected a power of 4 that "
            "divides them: download the file again"
        )
    return (weight.unflatten(1, (-1, size)) @ (hadamard / size**0.5)).flatten(1)
