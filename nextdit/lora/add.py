"""A LoRA added to a network's weights, for good: what is loaded afterwards is the changed network."""

from collections import defaultdict
from pathlib import Path

import torch
from torch import nn

from .convert import Converted, convert
from .files import read_lora
from .merge import sum_of
from .names import STOCK
from .parts import Parts, UnreadFormat, WrongLora


@torch.no_grad()
def add_lora(model: nn.Module, file: str | Path, strength: float = 1.0) -> Converted:
    """Add a LoRA of any naming, times `strength`, to the weights of a network, and return what it changed.

    LoRA, DoRA, LoHa, LoKr, differences and new weights. Raises FileNotFoundError, or ValueError, naming the file, if it
    is damaged, of another model or of another format; then the network is as it was.
    """
    weights = model.state_dict()
    try:
        tensors, config = read_lora(file)
        lora = convert(
            tensors,
            {key: tuple(x.shape) for key, x in weights.items()},
            config,
            lambda module: weights[f"{module}.weight"],
        )
        if lora.unmatched:
            raise WrongLora(lora.report())
        changes: Parts = {}
        for module, parts in by_module(lora.weights).items():
            changes |= changed(module, parts, weights, strength)
    except UnreadFormat as error:
        raise ValueError(f"{file}: {error}; save it as a plain LoRA with the program that made it") from error
    except WrongLora as error:
        raise ValueError(f"{file}: {error}") from error
    for key, value in changes.items():
        weights[key].copy_(value)
    return lora


def by_module(weights: Parts) -> dict[str, Parts]:
    """Return the parts of each module of a converted LoRA."""
    modules: dict[str, Parts] = defaultdict(dict)
    for key, tensor in weights.items():
        module, part = split_part(key.removeprefix(STOCK))
        modules[module][part] = tensor
    return modules


def split_part(key: str) -> tuple[str, str]:
    """Split a module's name from that of a part, which may itself have a point in it (lora_up.weight)."""
    module, _, part = key.rpartition(".")
    if part == "weight":
        module, _, part = module.rpartition(".")
        part += ".weight"
    return module, part


def changed(module: str, parts: Parts, weights: Parts, strength: float) -> Parts:
    """Return a module's weight and bias with a change. Raises UnreadFormat for those that take more than a product."""
    found = {}
    parts = dict(parts)
    if "diff_b" in parts:
        key = f"{module}.bias"
        found[key] = weights[key].float() + strength * parts.pop("diff_b").to(weights[key]).float()
    if not parts:
        return found
    key = f"{module}.weight" if f"{module}.weight" in weights else module
    weight = weights[key]
    parts = {name: tensor.to(weight.device) for name, tensor in parts.items()}
    found[key] = parts["set_weight"] if "set_weight" in parts else sum_of(module, parts, weight.float(), strength)
    return found
