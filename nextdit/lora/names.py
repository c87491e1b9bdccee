"""What LoRA files call the modules of a model: every prefix, both layouts, and fused layers of diffusers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..keys import DIFFUSERS, FROM_DIFFUSERS, GATE
from . import joint_names

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
# diffusers joins layers that read the same input, their outputs one after the other (`fuse_qkv_projections`).
FUSED = {
    "layers.#.attn1.to_qkv": ("layers.#.attn1.to_q", "layers.#.attn1.to_k", "layers.#.attn1.to_v"),
    "layers.#.attn2.to_kv": ("layers.#.attn2.to_k", "layers.#.attn2.to_v"),
}


@dataclass(frozen=True)
class Name:
    """A module's path in the network that a file was made for, and the (path, our module) of each layer in it."""

    path: str
    layers: tuple[tuple[str, str], ...]


def module_names(keys: Iterable[str]) -> dict[str, Name]:
    """Return every name that LoRA files give a module, or a bias, of a model with these keys → what it means."""
    keys = list(keys)
    others = joint_names.diffusers_names if joint_names.is_joint(keys) else diffusers_names
    paths: dict[str, tuple[tuple[str, str], ...]] = {}
    numbers = set()
    for key in keys:
        module = key.removesuffix(".weight")
        spoken = {module, *others(module)}
        if key.endswith(GATE):
            spoken.add(key.removesuffix(GATE) + "gate")
        paths |= {path: ((path, module),) for path in spoken}
        numbers |= set(re.findall(r"^layers\.(\d+)\.attention\.wq", key))
    for number in numbers:
        for fused, parts in FUSED.items():
            layers = [(part, FROM_DIFFUSERS[part]) for part in parts]
            numbered = [(path.replace("#", number), module.replace("#", number)) for path, module in layers]
            paths[fused.replace("#", number)] = tuple(numbered)
    names: dict[str, Name] = {}
    for path, layers_of_path in paths.items():
        name = Name(path, layers_of_path)
        names |= {prefix + path: name for prefix in DOTTED}
        names |= {prefix + path.replace(".", "_"): name for prefix in UNDERSCORED}
    return names


def diffusers_names(module: str) -> list[str]:
    """Return what diffusers calls one of our modules: two names where it keeps a weight twice, none if unknown."""
    number = re.match(r"layers\.(\d+)\.", module)
    theirs = DIFFUSERS.get(re.sub(r"^layers\.\d+\.", "layers.#.", module.removesuffix(".norm")), ())
    return [name.replace("#", number[1] if number else "#") for name in theirs]
