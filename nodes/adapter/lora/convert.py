"""LoRA files: which weight of the model each entry changes, whoever named it, and whether it fits.

What comes out is named as ComfyUI's stock loaders want it. LoRA, DoRA, LoHa, LoKr and plain differences are known.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....nextdit.keys import DIFFUSERS, GATE, prefix_of

STOCK = "diffusion_model."
DOTTED = (
    STOCK,
    "",
    "transformer.",
    "model.",
    "base_model.model.",
    "base_model.model.transformer.",
    "unet.base_model.model.",
    "transformer.base_model.model.",
    "model.diffusion_model.",
)
UNDERSCORED = ("lora_unet_", "lycoris_", "lora_transformer_")
# What a file calls the parts of one entry → the name that ComfyUI reads.
PARTS = {
    **{name: name for name in ("alpha", "dora_scale", "diff", "diff_b", "lora_up.weight", "lora_down.weight")},
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")},
    **{name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")},
    "lora_B.weight": "lora_up.weight",
    "lora_A.weight": "lora_down.weight",
    "lora_B": "lora_up.weight",
    "lora_A": "lora_down.weight",
    "lora_B.default.weight": "lora_up.weight",
    "lora_A.default.weight": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
    "lora_linear_layer.down.weight": "lora_down.weight",
    "lora_magnitude_vector": "dora_scale",
    "lora_magnitude_vector.weight": "dora_scale",
    "lora_magnitude_vector.default.weight": "dora_scale",
}
# A key that gives another family away → what to say.
FAMILIES = (
    (r"noise_refiner|context_refiner|attention[._]qkv|attention[._]to_q", "Lumina-Image-2.0 or Z-Image"),
    (r"double_blocks|single_blocks|single_transformer_blocks", "Flux or another model with double and single blocks"),
    (r"down_blocks|up_blocks|input_blocks|output_blocks|mid_block", "Stable Diffusion 1, 2 or XL"),
    (r"joint_blocks|transformer_blocks", "SD3, PixArt, Qwen-Image or the like"),
    (r"(^|[._])blocks[._]\d+", "Wan, Lumina's Flag-DiT or the like"),
    (r"self_attn|text_model|lora_te|text_encoder", "a text encoder: ComfyUI's own Load LoRA takes it, with the CLIP"),
)
SHOWN = 10


class WrongLora(ValueError):
    """The file is no LoRA of this model, or not all of it is."""


@dataclass
class Entry:
    """The parts of one change of one module, by ComfyUI's names; `source` is what the file calls the module."""

    source: str
    parts: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """A LoRA in ComfyUI's naming, the keys that match nothing, and remarks for the user."""

    weights: dict[str, Tensor]
    modules: int
    unmatched: list[str]
    notes: list[str]

    def report(self) -> str:
        """Return all of it in words."""
        lines = [f"{self.modules} weights of the model are changed.", *self.notes]
        if self.unmatched:
            lines.append(f"{len(self.unmatched)} keys match nothing in this model: {_some(self.unmatched)}")
        return "\n".join(lines)


def module_names(keys: Iterable[str]) -> dict[str, str]:
    """Return every name that LoRA files give a module of a model with these keys → the module."""
    names: dict[str, str] = {}
    for key in keys:
        if not key.endswith(".weight"):
            continue
        module = key.removesuffix(".weight")
        spoken = {module, *_diffusers(module)}
        if key.endswith(GATE):
            spoken.add(key.removesuffix(GATE) + "gate")
        for name in spoken:
            names |= {prefix + name: module for prefix in DOTTED}
            names |= {prefix + name.replace(".", "_"): module for prefix in UNDERSCORED}
    return names


def convert(lora: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], alpha: float | None = None) -> Converted:
    """Name a LoRA's entries as ComfyUI does, for a model whose weights have these shapes.

    `alpha` is that of entries without one of their own, None for their rank. diffusers keeps the query twice, and a
    LoRA of both copies has two changes for one weight: their mean is taken. Raises WrongLora if nothing matches, and
    for shapes and parts that do not fit.
    """
    names = module_names(shapes)
    entries, unmatched = _entries(lora, names)
    if not entries:
        raise WrongLora(_nothing_matches(unmatched))
    bad = [problem for module, found in entries.items() for e in found if (problem := _misfit(e, module, shapes))]
    if bad:
        raise WrongLora(f"it was made for a model of another size: {_some(bad)}")
    weights: dict[str, Tensor] = {}
    halves: list[str] = []
    for module, found in entries.items():
        for entry in found:
            _fill_in(entry, alpha)
        merged, halved = _merge(module, found)
        weights |= {f"{STOCK}{module}.{part}": tensor for part, tensor in merged.items()}
        halves += [module] if halved else []
    notes = [f"Their two copies of a query differ; the mean is used: {_some(halves)}"] if halves else []
    if unmatched and (family := _family(unmatched)):
        notes.append(f"Some keys look like {family}.")
    return Converted(weights, len(entries), unmatched, notes)


def _diffusers(module: str) -> list[str]:
    number = re.match(r"layers\.(\d+)\.", module)
    theirs = DIFFUSERS.get(re.sub(r"^layers\.\d+\.", "layers.#.", module.removesuffix(".norm")), ())
    return [name.replace("#", number[1] if number else "#") for name in theirs]


def _entries(lora: Mapping[str, Tensor], names: dict[str, str]) -> tuple[dict[str, list[Entry]], list[str]]:
    found: dict[str, dict[str, Entry]] = {}
    unmatched = []
    for key, tensor in lora.items():
        words = key.split(".")
        for cut in range(len(words) - 1, 0, -1):
            name, part = ".".join(words[:cut]), ".".join(words[cut:])
            if name in names and part in PARTS:
                entry = found.setdefault(names[name], {}).setdefault(name, Entry(name))
                entry.parts[PARTS[part]] = tensor
                break
        else:
            unmatched.append(key)
    return {module: list(by_name.values()) for module, by_name in found.items()}, unmatched


def _misfit(entry: Entry, module: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Say how an entry does not fit the weight or bias of a module, None if it does."""
    parts = {name: tuple(tensor.shape) for name, tensor in entry.parts.items()}
    bias = parts.pop("diff_b", None)
    if bias is not None and bias != shapes.get(f"{module}.bias"):
        return f"{entry.source} has a bias of {_times(bias)}, which the model has not"
    if not parts and bias is not None:
        return None
    try:
        made = _made(parts)
    except (KeyError, IndexError, ValueError) as error:
        return f"{entry.source} is incomplete or contradictory ({error})"
    shape = tuple(shapes[f"{module}.weight"])
    return None if made == shape else f"{entry.source} is {_times(made)}, the model has {_times(shape)}"


def _made(parts: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of the change that parts of these shapes make. KeyError for a missing one, ValueError else."""

    def product(a: str, b: str) -> tuple[int, ...]:
        left, right = parts[a], parts[b]
        if left[1] != right[0]:
            raise ValueError(f"{a} is {_times(left)}, {b} is {_times(right)}")
        return left[0], right[1]

    if "diff" in parts:
        return parts["diff"]
    if "hada_w1_a" in parts:
        first, second = product("hada_w1_a", "hada_w1_b"), product("hada_w2_a", "hada_w2_b")
        if first != second:
            raise ValueError(f"its factors make {_times(first)} and {_times(second)}")
        return first
    if any(name.startswith("lokr") for name in parts):
        outer, inner = (parts.get(f"lokr_{w}") or product(f"lokr_{w}_a", f"lokr_{w}_b") for w in ("w1", "w2"))
        return outer[0] * inner[0], outer[1] * inner[1]
    return product("lora_up.weight", "lora_down.weight")


def _fill_in(entry: Entry, alpha: float | None) -> None:
    down, scale = entry.parts.get("lora_down.weight"), entry.parts.get("dora_scale")
    if alpha is not None and down is not None:
        entry.parts.setdefault("alpha", torch.tensor(float(alpha)))
    if scale is not None and scale.ndim == 1:  # PEFT's magnitudes; ComfyUI wants a column
        entry.parts["dora_scale"] = scale[:, None]


def _merge(module: str, found: list[Entry]) -> tuple[dict[str, Tensor], bool]:
    """Return the parts of the one entry that does what all of a module's do, and whether it is a mean of different."""
    twins = _diffusers(module)
    copies = [entry for entry in found if _ends_with_any(entry.source, twins)] if len(twins) > 1 else []
    if not copies and len(found) == 1:
        return found[0].parts, False
    if len(found) > 2 or len(found) > len(copies):
        raise WrongLora(f"{' and '.join(entry.source for entry in found)} both change {module}; keep one of them")
    if len(found) == 2 and _equal(found[0].parts, found[1].parts):
        return found[0].parts, False
    return _mean(found), True


def _mean(found: list[Entry]) -> dict[str, Tensor]:
    """Return half of each LoRA as one of the ranks together: [u₁ u₂]·[d₁; d₂] / 2, a missing copy counting as 0."""
    if any(set(entry.parts) - {"alpha", "lora_up.weight", "lora_down.weight"} for entry in found):
        names = " and ".join(entry.source for entry in found)
        raise WrongLora(f"{names} are not the same, and only plain LoRAs of a query can be averaged")
    ups, downs = [], []
    for entry in found:
        up, down = entry.parts["lora_up.weight"].float(), entry.parts["lora_down.weight"].float()
        alpha = entry.parts.get("alpha")
        scale = 1.0 if alpha is None else float(alpha) / down.shape[0]
        ups.append(up * scale / 2)
        downs.append(down)
    return {"lora_up.weight": torch.cat(ups, dim=1), "lora_down.weight": torch.cat(downs, dim=0)}


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def _ends_with_any(source: str, names: list[str]) -> bool:
    return source.endswith((*names, *(name.replace(".", "_") for name in names)))


def _family(keys: list[str]) -> str | None:
    return next((what for pattern, what in FAMILIES if any(re.search(pattern, key) for key in keys)), None)


def _nothing_matches(keys: list[str]) -> str:
    if not keys:
        return "it holds no tensors"
    if prefix_of(keys) is not None:
        return "it is a whole model, not a LoRA; use Load Lumina-Next Model"
    family = _family(keys)
    return f"no key matches this model; its keys look like {family or 'no known LoRA'}: {_some(keys)}"


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a number"
