"""LoRA files: which weight of the model each entry changes, whoever named it, and whether it fits.

What comes out is named as ComfyUI's stock loaders want it; `parts` says which kinds of change are known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..families import recognise
from . import joint
from .config import AdapterConfig
from .merge import Base, Entry, merge
from .names import STOCK, Name, module_names
from .parts import (
    LORA_BIAS,
    MAGNITUDE,
    Parts,
    UnreadFormat,
    WrongLora,
    check_shapes,
    cut_rows,
    join_tucker,
    kind_of,
    part_of,
    rank_of,
    times,
)

SCALED = ("LoRA", "LoHa", "LoKr")
# A key that gives another family away → what to say.
FAMILIES = (
    (r"controlnet_|control_(?:layers|model|noise)", "a ControlNet, which ComfyUI has loaders of its own for"),
    (r"noise_refiner|context_refiner|attention[._]qkv|attention[._]to_q", "Lumina-Image-2.0 or Z-Image"),
    (r"double_blocks|single_blocks|single_transformer_blocks", "Flux or another model with double and single blocks"),
    (r"down_blocks|up_blocks|input_blocks|output_blocks|mid_block", "Stable Diffusion 1, 2 or XL"),
    (r"joint_blocks|transformer_blocks", "SD3, PixArt, Qwen-Image or the like"),
    (r"attention[._]w[kv]_y|layers[._]\d+[._]attn[12][._]", "Lumina-Next"),
    (r"(^|[._])blocks[._]\d+", "Wan, Lumina's Flag-DiT or the like"),
    (
        r"self_attn|text_model|lora_te|text_encoder",
        "a text encoder, which in ComfyUI its own Load LoRA takes with the CLIP",
    ),
)
# A key that gives away a format that is not read → its name.
PEFT_PREFIXES = (
    "adamss|beft|boft|c3a|delora|fourierft|frod|glora|gralora|hira|hra|ia3|lily|ln_tuning|miss|peanut|psoft|pvera|"
    "randlora|road|shira|tinylora|unilora|vblora|vera|waveft"
)
UNREAD = (
    (rf"(?:^|[._])({PEFT_PREFIXES})_(?:\w+)", "PEFT's {}"),
    (r"[._]oft_[rR]\b|[._]oft_embedding_R", "PEFT's OFT"),
    (r"^oft_unet_|[._]oft_diag\b", "kohya's OFT"),
    (r"\.on_input$", "LyCORIS' IA3"),
    (r"[._](?:lora_E|ranknum)\b", "PEFT's ADALORA"),
    (r"\.bone_\w+$", "PEFT's BONE"),
    (r"[._]lora_(?:embedding_[AB]|velora|kasa|monteclora|arrow|diag)", "a variant of PEFT's LoRA"),
    (r"lora_controlnet", "a control LoRA"),
    (r"^(?!.*(?:lora|hada_|lokr_|oft_|\.[ab][12]\.)).*\.(?:weight|bias)$", "whole weights or biases, not changes"),
)
SHOWN = 10


@dataclass(frozen=True)
class Converted:
    """A LoRA in ComfyUI's naming, the keys that match nothing, and remarks for the user.

    `unread` names the format of keys that are of a known one that is not read, None if there are none.
    """

    weights: dict[str, Tensor]
    modules: int
    unmatched: list[str]
    notes: list[str]
    unread: str | None = None

    def report(self) -> str:
        """Return all of it in words."""
        changed = "1 weight of the model is" if self.modules == 1 else f"{self.modules} weights of the model are"
        lines = [f"{changed} changed.", *self.notes]
        if self.unmatched:
            count = len(self.unmatched)
            keys = "1 key matches" if count == 1 else f"{count} keys match"
            lines.append(f"{keys} nothing in this model: {_some(self.unmatched)}")
        return "\n".join(lines)


def convert(
    lora: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    config: AdapterConfig | None = None,
    base: Base | None = None,
) -> Converted:
    """Name a LoRA's entries as ComfyUI does, for a model whose weights have these shapes.

    `config` scales entries without an alpha of their own. diffusers keeps the query twice, and a LoRA of both copies
    has two changes for one weight: their mean is taken. `base` is needed for PEFT's DoRA, whose magnitudes are those of
    the changed weight, where ComfyUI's are taken for the weight's own; without it they go as they are. Raises
    UnreadFormat for known formats that are not read, and WrongLora if nothing matches or parts do not fit.
    """
    parts = joint.parts_of_fused(shapes)
    shapes, base = joint.with_parts(shapes, parts), joint.base_of(base, parts) if base is not None else None
    found, unmatched = _entries(lora, module_names(shapes))
    other_model = _named(FAMILIES, unmatched) is not None or recognise(unmatched) is not None
    unread = None if other_model else _named(UNREAD, unmatched)
    if not found:
        if unread is not None:
            raise UnreadFormat(f"it holds {unread}: {_some(unmatched)}")
        raise WrongLora(_nothing_matches(unmatched))
    _refuse_torn(found, unmatched)
    modules = _by_module(found, shapes, config)
    _refuse_misfits(modules, shapes)
    merged = {module: merge(module, entries, shapes[_key(module, shapes)], base) for module, entries in modules.items()}
    halves = [module for module, (_, halved) in merged.items() if halved]
    changes = joint.join({module: one for module, (one, _) in merged.items()}, parts, shapes, base)
    weights = {f"{STOCK}{module}.{part}": x for module, one in changes.items() for part, x in one.items()}
    return Converted(weights, len(modules), unmatched, _notes(weights, halves, unmatched, unread), unread)


def _entries(lora: Mapping[str, Tensor], names: Mapping[str, Name]) -> tuple[list[tuple[Entry, Name]], list[str]]:
    found: dict[str, tuple[Entry, Name]] = {}
    unmatched = []
    for key, tensor in lora.items():
        # old diffusers names end in an underscore where the others have a point
        words = re.sub(r"_lora\.(up|down)\.weight$", r".lora.\1.weight", key).split(".")
        for cut in range(len(words) - 1, 0, -1):
            source, part = ".".join(words[:cut]), part_of(".".join(words[cut:]))
            if source in names and part is not None:
                entry, _ = found.setdefault(source, (Entry(source, names[source].path), names[source]))
                if part in entry.parts:
                    raise WrongLora(f"{source} has {part} twice, the second time as {key}; keep one adapter in a file")
                entry.parts[part] = tensor
                break
        else:
            unmatched.append(key)
    return list(found.values()), unmatched


def _refuse_torn(found: list[tuple[Entry, Name]], unmatched: list[str]) -> None:
    """Raise UnreadFormat if a changed module has further parts that are not read: the change would be another one."""
    for entry, _ in found:
        beside = [key for key in unmatched if key.startswith(f"{entry.source}.")]
        if (format_name := _named(UNREAD[:-1], beside)) is not None:
            raise UnreadFormat(f"it holds {format_name}: {_some(beside)}")


def _by_module(
    found: list[tuple[Entry, Name]], shapes: Mapping[str, tuple[int, ...]], config: AdapterConfig | None
) -> dict[str, list[Entry]]:
    """Return our module → what changes it, with every scale in the parts and fused layers cut into theirs."""
    modules: dict[str, list[Entry]] = {}
    for entry, name in found:
        keys = [_key(module, shapes) for _, module in name.layers]
        try:
            _fill_in(entry, config, shapes[keys[0]])
            pieces = [entry.parts] if len(keys) == 1 else cut_rows(entry.parts, [shapes[key][0] for key in keys])
        except (KeyError, IndexError, ValueError) as error:
            beside = f" ({config.source})" if config is not None else ""
            raise WrongLora(f"{entry.source} is incomplete or contradictory: {_words(error)}{beside}") from error
        for (path, module), parts in zip(name.layers, pieces, strict=True):
            modules.setdefault(module, []).append(Entry(entry.source, path, parts))
    return modules


def _fill_in(entry: Entry, config: AdapterConfig | None, shape: tuple[int, ...]) -> None:
    """Give an entry the scale that a config says, and bring its parts into the form that ComfyUI reads."""
    parts = entry.parts
    kind = kind_of(parts)
    if "reshape_weight" in parts and tuple(parts["reshape_weight"].tolist()) == shape:
        del parts["reshape_weight"]
    for name in {"dora_scale", MAGNITUDE} & set(parts):  # PEFT's are vectors; ComfyUI wants a column
        parts[name] = parts[name][:, None] if parts[name].ndim == 1 else parts[name]
    if kind in SCALED:
        _scale(entry, kind, config)
        join_tucker(parts)
    elif kind == "OFT" and parts["oft_blocks"].ndim == 4:
        parts.setdefault("alpha", torch.tensor(0.0))  # no constraint; ComfyUI's BOFT fails without the word


def _scale(entry: Entry, kind: str, config: AdapterConfig | None) -> None:
    parts, rank = entry.parts, rank_of(kind, entry.parts)
    if "alpha" in parts and parts["alpha"].numel() != 1:
        raise ValueError(f"alpha is {times(tuple(parts['alpha'].shape))}, expected one number")
    scale = float(parts["alpha"]) / rank if "alpha" in parts and rank else 1.0
    if config is not None and "alpha" not in parts:
        scale = config.scale(entry.path, kind, rank, dora=MAGNITUDE in parts)
        if rank is None:  # a LoKr of whole factors, of which ComfyUI reads no alpha
            parts["lokr_w1"] = parts["lokr_w1"].float() * scale
        else:
            parts["alpha"] = torch.tensor(scale * rank)
    if LORA_BIAS in parts:
        if "diff_b" in parts:
            raise ValueError("it has two biases")
        parts["diff_b"] = parts.pop(LORA_BIAS).float() * scale


def _key(module: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    return f"{module}.weight" if f"{module}.weight" in shapes else module


def _refuse_misfits(modules: dict[str, list[Entry]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise WrongLora, naming some, if entries lack a part or do not fit the weights or biases of their modules."""
    torn, misfits = [], []
    for module, entry in ((module, entry) for module, entries in modules.items() for entry in entries):
        parts = {name: tuple(tensor.shape) for name, tensor in entry.parts.items()}
        try:
            bias = shapes.get(f"{module}.bias")
            problem = check_shapes(kind_of(parts), parts, tuple(shapes[_key(module, shapes)]), bias and tuple(bias))
            misfits += [] if problem is None else [f"{entry.source} {problem}"]
        except (KeyError, IndexError, ValueError) as error:
            torn.append(f"{entry.source} is incomplete or contradictory ({_words(error)})")
    if torn:
        raise WrongLora(_some(torn))
    if misfits:
        raise WrongLora(f"it was made for a model of another size: {_some(misfits)}")


def _notes(weights: Parts, halves: list[str], unmatched: list[str], unread: str | None) -> list[str]:
    notes = [f"The two copies of these queries differ, so their mean is used: {_some(halves)}"] if halves else []
    rescaled = [key for key in weights if key.endswith(".rescale") and weights[f"{key[:-7]}oft_blocks"].ndim == 3]
    if rescaled:
        notes.append(f"OFT's rescale is not applied: {_some(rescaled)}")
    if (family := _named(FAMILIES, unmatched)) is not None:
        notes.append(f"Some keys look like {family}.")
    if unread is not None:
        notes.append(f"Some keys hold {unread}, which is not read.")
    return notes


def _named(table: tuple[tuple[str, str], ...], keys: list[str]) -> str | None:
    for pattern, what in table:
        for key in keys:
            if (found := re.search(pattern, key)) is not None:
                return what.format(*(group.upper() for group in found.groups()))
    return None


def _nothing_matches(keys: list[str]) -> str:
    if not keys:
        return "it holds no tensors"
    if recognise(keys) is not None:
        return "it is a whole model, not a LoRA; load it as the model"
    family = _named(FAMILIES, keys)
    return f"no key matches this model; its keys look like {family or 'no known LoRA'}: {_some(keys)}"


def _words(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
