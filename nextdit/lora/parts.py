"""The tensors that make one change of one module: their names, kinds, shapes and what they add to a weight."""

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Parts = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]

LORA = {"lora_up.weight", "lora_down.weight", "lora_mid.weight", "reshape_weight"}
LOHA = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"}
LOKR = {"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"}
KINDS = {
    "LoRA": LORA,
    "LoHa": LOHA,
    "LoKr": LOKR,
    "GLoRA": {"a1.weight", "a2.weight", "b1.weight", "b2.weight"},
    "OFT": {"oft_blocks", "rescale"},
    "difference": {"diff"},
    "new weight": {"set_weight"},
}
MAGNITUDE = "magnitude"  # PEFT's DoRA: m·V / ‖V‖, V = W + ΔW
LORA_BIAS = "lora_bias"  # PEFT's: scaled as the LoRA is
# What a file calls a part → the name that ComfyUI reads, or one of the two above.
PARTS = {
    **{name: name for own in KINDS.values() for name in own},
    **{name: name for name in ("alpha", "dora_scale", "diff_b")},
    "w_norm": "diff",  # LyCORIS' norms
    "b_norm": "diff_b",
    "lora_B.weight": "lora_up.weight",
    "lora_A.weight": "lora_down.weight",
    "lora_B": "lora_up.weight",
    "lora_A": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
    "lora_linear_layer.down.weight": "lora_down.weight",
    "lora_B.bias": LORA_BIAS,
    "lora_magnitude_vector": MAGNITUDE,
}
ROWS = {"lora_up.weight", "hada_w1_a", "hada_w2_a", "diff", "diff_b", "set_weight", "dora_scale", MAGNITUDE}
SHARED = {"lora_down.weight", "hada_w1_b", "hada_w2_b", "alpha"}
"""What of a fused layer's parts is cut into the rows of its layers, and what all of them have; the rest is neither."""


class WrongLora(ValueError):
    """The file is no LoRA of this model, or not all of it is."""


class UnreadFormat(WrongLora):
    """The file is in a format that is known by name only."""


def part_of(words: str) -> str | None:
    """Return the part that the end of a key names, without the name of PEFT's adapter in it; None if it names none."""
    words = re.sub(r"^(lora_[AB])\.(?!weight$|bias$)[^.]+(\.weight|\.bias)?$", r"\1\2", words)
    return PARTS.get(re.sub(r"^lora_magnitude_vector(\.[^.]+){1,2}$", "lora_magnitude_vector", words))


def kind_of(parts: Iterable[str]) -> str | None:
    """Return the one of KINDS that parts make, None for a bias only. Raises ValueError if it is several at once."""
    kinds = [kind for kind, own in KINDS.items() if not own.isdisjoint(parts)]
    if len(kinds) > 1:
        raise ValueError(f"it is {' and '.join(kinds)} at once")
    return kinds[0] if kinds else None


def rank_of(kind: str | None, parts: Mapping[str, Tensor]) -> int | None:
    """Return the rank that alpha is divided by, None where there is none. Raises KeyError for a missing part."""
    if kind == "LoRA":
        return parts["lora_down.weight"].shape[0]
    if kind == "LoHa":
        return parts["hada_w1_b"].shape[0]
    if kind == "LoKr" and not {"lokr_w1", "lokr_w2"} <= set(parts):
        return parts["lokr_w1_b" if "lokr_w2" in parts else "lokr_w2_b"].shape[0]
    return None


def check_shapes(kind: str | None, shapes: Shapes, weight: tuple[int, ...], bias: tuple[int, ...] | None) -> str | None:
    """Say in words how parts of these shapes do not fit a weight and bias, None if they do.

    Raises KeyError for a missing part, IndexError or ValueError for parts that do not fit each other.
    """
    for name in ("diff_b", LORA_BIAS):
        if name in shapes and shapes[name] != bias:
            return f"has a bias of {times(shapes[name])}, the model has {'none' if bias is None else times(bias)}"
    if kind is None:
        if "diff_b" in shapes and not {"dora_scale", MAGNITUDE, LORA_BIAS} & set(shapes):
            return None
        raise ValueError("it says how to scale a change, but holds none")
    if math.prod(shapes.get("alpha", ())) != 1:
        raise ValueError(f"alpha is {times(shapes['alpha'])}, expected one number")
    if kind in ("difference", "new weight"):
        if {"dora_scale", MAGNITUDE, LORA_BIAS} & set(shapes):
            raise ValueError(f"a {kind} takes no magnitudes")
        made = shapes["diff" if kind == "difference" else "set_weight"]
        return None if made == weight else f"is {times(made)}, the model has {times(weight)}"
    made = MADE[kind](shapes, weight)
    if _plain(made) != _plain(weight):
        return f"is {times(made)}, the model has {times(weight)}"
    for name in ("dora_scale", MAGNITUDE):
        rows, columns = (weight[0], 1), (1, math.prod(weight[1:]))
        if name in shapes and shapes[name] not in (rows, columns if name == "dora_scale" else rows):
            return f"has magnitudes of {times(shapes[name])}, expected {times(rows)}"
    return None


def change(kind: str | None, parts: Parts, base: Tensor | None) -> Tensor | None:
    """Return what parts add to a weight, in float32; None if that takes more than them (and `base` for PEFT's DoRA)."""
    parts = {name: tensor.float() for name, tensor in parts.items()}
    if {"lora_mid.weight", "hada_t1", "lokr_t2", "dora_scale"} & set(parts):
        return None
    if kind == "difference":
        return parts["diff"]
    if kind == "LoRA":
        made = parts["lora_up.weight"].flatten(1) @ parts["lora_down.weight"].flatten(1)
    elif kind == "LoHa":
        made = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    elif kind == "LoKr":
        w1, w2 = (
            parts[f"lokr_{w}"] if f"lokr_{w}" in parts else parts[f"lokr_{w}_a"] @ parts[f"lokr_{w}_b"]
            for w in ("w1", "w2")
        )
        made = torch.kron(w1.contiguous(), w2.flatten(1).contiguous())
    else:
        return None
    rank = rank_of(kind, parts)
    made = made * float(parts["alpha"]) / rank if "alpha" in parts and rank else made
    if MAGNITUDE not in parts:
        return made
    if base is None:
        return None
    changed = base.float() + made
    return parts[MAGNITUDE] * changed / changed.norm(dim=1, keepdim=True) - base.float()


def join_tucker(parts: Parts) -> None:
    """Multiply out a LoKr's inner factor that is itself decomposed by a core, on which ComfyUI's product fails."""
    names = ("lokr_t2", "lokr_w2_a", "lokr_w2_b")
    if "lokr_w2" in parts or not set(names) <= set(parts):
        return
    core, a, b = (parts[name].float() for name in names)
    if core.shape != (a.shape[0], b.shape[0], 1, 1):
        return  # does not fit, which is said elsewhere
    scale = float(parts.pop("alpha")) / len(b) if "alpha" in parts else 1.0
    for name in names:
        del parts[name]
    parts["lokr_w2"] = scale * (a.T @ core[:, :, 0, 0] @ b)


def cut_rows(parts: Parts, rows: list[int]) -> list[Parts]:
    """Cut a fused layer's parts into those of its layers, by numbers of rows. Raises ValueError where that fails."""
    whole = set(parts) - ROWS - SHARED
    if whole or any(parts[name].shape[:1] != (sum(rows),) for name in ROWS & set(parts)):
        raise ValueError(f"it changes layers joined in one, and cannot be cut into their {times(tuple(rows))} rows")
    cut = {name: parts[name].split(rows) for name in ROWS & set(parts)}
    shared = {name: parts[name] for name in SHARED & set(parts)}
    return [shared | {name: pieces[i] for name, pieces in cut.items()} for i in range(len(rows))]


def times(shape: tuple[int, ...]) -> str:
    """Return a shape in words: 32×48, or "a number"."""
    return "×".join(map(str, shape)) or "a number"


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _product(shapes: Shapes, a: str, b: str) -> tuple[int, int]:
    left, right = ((shapes[name][0], math.prod(shapes[name][1:])) for name in (a, b))
    if left[1] != right[0] or not right[0]:
        raise ValueError(f"{a} is {times(shapes[a])}, {b} is {times(shapes[b])}")
    return left[0], right[1]


def _tucker(shapes: Shapes, core: str, a: str, b: str) -> tuple[int, ...]:
    """Return the shape of core (i, j, 1, 1) between a (i, out) and b (j, in)."""
    if shapes[core] != (shapes[a][0], shapes[b][0], 1, 1):
        raise ValueError(f"{core} is {times(shapes[core])}, {a} is {times(shapes[a])}, {b} is {times(shapes[b])}")
    return shapes[a][1], shapes[b][1]


def _lora(shapes: Shapes, weight: tuple[int, ...]) -> tuple[int, ...]:
    rank = shapes["lora_down.weight"][0]
    if shapes.get("lora_mid.weight", (rank, rank, 1, 1)) != (rank, rank, 1, 1):
        raise ValueError(f"lora_mid.weight is {times(shapes['lora_mid.weight'])}, expected {rank}×{rank}×1×1")
    if "reshape_weight" in shapes:
        raise ValueError("reshape_weight makes the weight larger, as a control LoRA does, which this model cannot take")
    return _product(shapes, "lora_up.weight", "lora_down.weight")


def _loha(shapes: Shapes, weight: tuple[int, ...]) -> tuple[int, ...]:
    pairs = [(f"hada_w{i}_a", f"hada_w{i}_b") for i in (1, 2)]
    if "hada_t1" in shapes or "hada_t2" in shapes:
        first, second = (_tucker(shapes, f"hada_t{i}", *pairs[i - 1]) for i in (1, 2))
    else:
        first, second = (_product(shapes, *pair) for pair in pairs)
    if first != second:
        raise ValueError(f"its factors make {times(first)} and {times(second)}")
    return first


def _lokr(shapes: Shapes, weight: tuple[int, ...]) -> tuple[int, ...]:
    outer = shapes.get("lokr_w1") or _product(shapes, "lokr_w1_a", "lokr_w1_b")
    inner = shapes.get("lokr_w2")
    if inner is None and "lokr_t2" in shapes:
        inner = _tucker(shapes, "lokr_t2", "lokr_w2_a", "lokr_w2_b")
    elif inner is None:
        inner = _product(shapes, "lokr_w2_a", "lokr_w2_b")
    return outer[0] * inner[0], outer[1] * math.prod(inner[1:])


def _glora(shapes: Shapes, weight: tuple[int, ...]) -> tuple[int, ...]:
    """W a1 a2 + b1 b2, or LyCORIS' old order, W a2 a1 + b2 b1; told apart by the rank."""
    a1, a2, b1, b2 = (shapes[f"{name}.weight"] for name in ("a1", "a2", "b1", "b2"))
    new = b2[0] == b1[1] == a1[1] == a2[0]
    old = b2[1] == b1[0] == a1[0] == a2[1] and (not new or a2[0] == weight[0] == weight[1])
    if not new and not old:
        raise ValueError(f"its factors are {', '.join(map(times, (a1, a2, b1, b2)))}")
    order = ("a2", "a1", "b2", "b1") if old else ("a1", "a2", "b1", "b2")
    first, second = (_product(shapes, f"{order[i]}.weight", f"{order[i + 1]}.weight") for i in (0, 2))
    if first != (weight[1], weight[1]):
        raise ValueError(f"its input factors make {times(first)}, the model has {weight[1]} inputs")
    return second


def _oft(shapes: Shapes, weight: tuple[int, ...]) -> tuple[int, ...]:
    """Blocks (k, b, b) that turn the outputs, or butterflies of them, (m, k, b, b)."""
    blocks, rescale = shapes["oft_blocks"], shapes.get("rescale", (weight[0], 1))
    if len(blocks) not in (3, 4) or blocks[-1] != blocks[-2]:
        raise ValueError(f"oft_blocks is {times(blocks)}, expected square blocks")
    if _plain(rescale) != (weight[0],):
        raise ValueError(f"rescale is {times(rescale)}, expected {weight[0]}×1")
    if len(blocks) == 4 and (blocks[-1] % 2 or weight[0] % (2 ** blocks[0] * (blocks[-1] // 2))):
        raise ValueError(f"{blocks[0]} butterflies of {blocks[-1]} do not divide {weight[0]} outputs")
    return blocks[-3] * blocks[-2], *weight[1:]


MADE = {"LoRA": _lora, "LoHa": _loha, "LoKr": _lokr, "GLoRA": _glora, "OFT": _oft}
