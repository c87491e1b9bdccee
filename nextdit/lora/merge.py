"""One change for each weight, where a LoRA file has several, and PEFT's DoRA in ComfyUI's terms."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .names import diffusers_names
from .parts import MAGNITUDE, Parts, UnreadFormat, WrongLora, change, kind_of

Base = Callable[[str], Tensor]
"""Returns a module's weight before any change."""


@dataclass
class Entry:
    """The parts of one change of one module, by ComfyUI's names; `source` is what the file calls the module."""

    source: str
    path: str
    parts: Parts = field(default_factory=dict)


def merge(module: str, found: list[Entry], shape: tuple[int, ...], base: Base | None) -> tuple[Parts, bool]:
    """Return the parts of the one entry that does what all of a module's do, and whether it is a mean of different."""
    twins = diffusers_names(module)
    copies = [entry for entry in found if entry.path in twins] if len(twins) > 1 else []
    if not copies and len(found) == 1:
        return _stock_dora(found[0].parts, module, base), False
    if len(found) > 2 or len(found) > len(copies):
        raise WrongLora(f"{' and '.join(entry.source for entry in found)} both change {module}; keep one of them")
    if len(found) == 2 and _equal(found[0].parts, found[1].parts):
        return _stock_dora(found[0].parts, module, base), False
    if all(set(entry.parts) <= {"alpha", "lora_up.weight", "lora_down.weight"} for entry in found):
        return _mean_lora(found), True
    return _mean_change(module, found, shape, base), True


def _stock_dora(parts: Parts, module: str, base: Base | None) -> Parts:
    """Return parts with PEFT's magnitudes made ComfyUI's, which divides by ‖W‖ where PEFT divides by ‖W + ΔW‖."""
    if MAGNITUDE not in parts:
        return parts
    rest = {name: tensor for name, tensor in parts.items() if name != MAGNITUDE}
    if base is None:
        return rest | {"dora_scale": parts[MAGNITUDE]}
    weight, delta = base(module).float(), change(kind_of(rest), rest, None)
    if delta is None:
        raise WrongLora(f"{module} has PEFT's magnitudes beside parts that PEFT does not make; save it again with PEFT")
    norms = (tensor.norm(dim=1, keepdim=True) for tensor in (weight, weight + delta.to(weight.device)))
    own, changed = norms
    return rest | {"dora_scale": parts[MAGNITUDE].float() * (own / changed).cpu()}


def _mean_lora(found: list[Entry]) -> Parts:
    """Return half of each LoRA as one of the ranks together: [u₁ u₂]·[d₁; d₂] / 2, a missing copy counting as 0."""
    ups, downs = [], []
    for entry in found:
        up, down = (entry.parts[f"lora_{side}.weight"].float().flatten(1) for side in ("up", "down"))
        alpha = entry.parts.get("alpha")
        scale = 1.0 if alpha is None else float(alpha) / down.shape[0]
        ups.append(up * scale / 2)
        downs.append(down)
    return {"lora_up.weight": torch.cat(ups, dim=1), "lora_down.weight": torch.cat(downs, dim=0)}


def _mean_change(module: str, found: list[Entry], shape: tuple[int, ...], base: Base | None) -> Parts:
    """Return half of each change as a difference of the whole weight, for kinds whose mean is not of their kind."""
    mean: Parts = {}
    for entry in found:
        rest = {name: tensor for name, tensor in entry.parts.items() if name != "diff_b"}
        if "diff_b" in entry.parts:
            mean["diff_b"] = mean.get("diff_b", 0) + entry.parts["diff_b"].float() / 2
        if not rest:
            continue
        weight = base(module) if base is not None and MAGNITUDE in rest else None
        half = change(kind_of(rest), rest, weight)
        if half is None:
            names = " and ".join(one.source for one in found)
            raise WrongLora(f"{names} change one weight differently, and such changes have no mean; keep one of them")
        mean["diff"] = mean.get("diff", 0) + half.reshape(shape) / 2
    return mean


def _equal(a: Parts, b: Parts) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def sum_of(module: str, parts: Parts, weight: Tensor, strength: float) -> Tensor:
    """Return a weight with what parts add to it; with DoRA (arXiv 2402.09353) its rows or columns scaled as well."""
    magnitude = parts.pop("dora_scale", None)
    delta = change(kind_of(parts), parts, None)
    if delta is None:
        raise UnreadFormat(
            f"{module} is changed by a product of more than two factors or by a rotation, which is not read"
        )
    delta = delta.reshape(weight.shape)
    if magnitude is not None:
        made = weight + delta
        rows = magnitude.shape[0] == weight.shape[0]  # as the stock loader of ComfyUI tells rows from columns
        norm = weight.norm(dim=1, keepdim=True) if rows else made.norm(dim=0, keepdim=True)
        delta = made * (magnitude / (norm + torch.finfo(weight.dtype).eps)) - weight
    return weight + strength * delta
