"""All kinds of networks that the pack knows: a checkpoint is recognised, explained and built here and nowhere else."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import train_size
from .family import NORM_GROUPS, Family, Layout, as_fact, fact_text
from .models import audio, class_image, classifier, flag, image, multiview, points, video

FAMILIES: tuple[Family, ...] = (
    image.FAMILY,
    multiview.FAMILY,
    video.FAMILY,
    points.FAMILY,
    classifier.FAMILY,
    flag.FAMILY,
    class_image.FAMILY,
    audio.FAMILY,
)

COMMON_FACTS = (train_size.METADATA_KEY, NORM_GROUPS)
"""What a file of any family may say of itself: in its metadata or, as `Family.facts`, in tensors."""

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "module.", "model.", "transformer.")

LUMINA_VIDEO = "motion_embedder.mlp.0.weight"
"""A key of Lumina-Video (arXiv 2502.06782), whose layers have the names of ours: it is read as none of our families."""

# Models that are easily taken for ours: a key that gives them away → what they are.
RELATIVES = (
    (
        rf"(^|\.){re.escape(LUMINA_VIDEO)}$",
        "Lumina-Video (Lumina-Video-f24R960), a later model that embeds patches of several sizes and the amount of "
        "motion: the code of Alpha-VLLM/Lumina-Video runs it, this pack does not",
    ),
    (r"[._]lora[._]?(up|down|A|B)\.", "a LoRA"),
    (r"noise_refiner\.|attention\.qkv\.weight$", "Lumina-Image-2.0 or Z-Image, which ComfyUI itself loads"),
    (r"eol_token$", "a Flag-DiT (Lumina-T2I) of which weights are missing: download it again"),
    (
        r"y_embedder\.embedding_table\.weight$",
        "a class-conditional model of another kind (DiT, SiT), or one of which weights are missing",
    ),
    (
        r"^(model\.diffusion_model\.)?blocks\.0\.attention\.wk_y",
        "a Lumina audio model of which weights are missing: download it again",
    ),
    (r"model\.layers\.0\.self_attn\.q_proj\.weight$", "a language model"),
    (r"^(conditioner\.embedders|cond_stage_model)\.", "a whole checkpoint of another model"),
    (r"decoder\.conv_out\.weight$", "a VAE"),
    (r"text_model\.encoder\.layers\.0\.|encoder\.block\.0\.layer\.0\.", "a text encoder of other models"),
    (
        r"(^|\.)(input|double|joint|transformer|single)_blocks\.0\.",
        "a model of another kind",
    ),
)


class UnknownCheckpoint(ValueError):
    """The weights are of no family that the pack knows."""


@dataclass(frozen=True)
class Recognised:
    """What a checkpoint is: family, layout and prefix of its keys, and our module's key for each of them.

    `facts` are the keys of tensors that are no weights (`Family.facts`), by name.
    """

    family: Family
    layout: Layout
    prefix: str
    names: Mapping[str, str]
    facts: Mapping[str, str]

    def metadata(self, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
        """Return a file's metadata, with the facts that it keeps as tensors."""
        return {**metadata, **{name: fact_text(weights[key]) for name, key in self.facts.items()}}

    def as_facts(self, metadata: Mapping[str, str]) -> dict[str, Tensor]:
        """Return what metadata says as the tensors in which a file may keep it; ValueError if it says nonsense."""
        train_size.train_tokens(metadata)
        told = {name: metadata[name] for name in (*self.family.facts, *COMMON_FACTS) if name in metadata}
        wrong = [f"{name} {text!r}" for name, text in told.items() if not (text.isascii() and text.isdecimal())]
        if wrong:
            raise ValueError(f"its metadata has {', '.join(wrong)}, expected a whole number: download it again")
        told |= {name: metadata[name] for name in self.family.texts if name in metadata}
        return {self.prefix + name: as_fact(text) for name, text in told.items()}

    def shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Rename shapes, by the checkpoint's keys, to our modules'."""
        return {name: tuple(shapes[key]) for key, name in self.names.items()}

    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename a state dict to our modules'. Raises ValueError if two copies of a weight differ."""
        renamed: dict[str, Tensor] = {}
        for key, name in self.names.items():
            tensor = weights[key]
            if name in renamed and not torch.equal(renamed[name].float(), tensor.float()):
                raise ValueError(f"the two copies of {name} in the {self.layout.name} layout differ (second: {key})")
            renamed.setdefault(name, tensor)
        return renamed


def recognise(keys: Iterable[str]) -> Recognised | None:
    """Tell what a checkpoint with these keys is, None if it is of no family here.

    Keys without the prefix of the network's (a VAE in the same file) stay out.
    """
    keys = list(keys)
    if any(key.endswith(LUMINA_VIDEO) for key in keys):
        return None
    have = set(keys)
    found: tuple[int, Family, Layout, str] | None = None
    for family in FAMILIES:
        for layout in family.layouts:
            prefix = _prefix(have, layout.signature)
            if prefix is not None and (found is None or len(layout.signature) > found[0]):
                found = len(layout.signature), family, layout, prefix
    if found is None:
        return None
    _, family, layout, prefix = found
    names = {key: layout.rename(key[len(prefix) :]) for key in keys if key.startswith(prefix)}
    told = (*family.facts, *family.texts, *COMMON_FACTS)
    facts = {name: key for name in told for key in (name, prefix + name) if key in have}
    names = {key: name for key, name in names.items() if key not in facts.values()}
    return Recognised(family, layout, prefix, names, facts)


def _prefix(keys: set[str], signature: tuple[str, ...]) -> str | None:
    for prefix in ("", *PREFIXES, *(a + b for a in PREFIXES for b in PREFIXES)):
        if all(f"{prefix}{key}" in keys for key in signature):
            return prefix
    return None


def recognised(keys: Iterable[str]) -> Recognised:
    """Do what `recognise` does, or raise UnknownCheckpoint that says what it is."""
    keys = list(keys)
    found = recognise(keys)
    if found is None:
        raise UnknownCheckpoint(explain(keys))
    return found


def to_model_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of any layout to our modules'; UnknownCheckpoint, or ValueError as `Recognised.rename`."""
    return recognised(weights).rename(weights)


def relative(keys: Iterable[str]) -> str | None:
    """Say which model that is easily taken for ours has these keys, None if it is none that we know."""
    keys = list(keys)
    return next((what for pattern, what in RELATIVES if any(re.search(pattern, key) for key in keys)), None)


def explain(keys: Iterable[str]) -> str:
    """Say in a clause what kind of checkpoint has these keys, as far as it is known."""
    keys = list(keys)
    sample = ", ".join(sorted(keys)[:3]) or "none at all"
    return relative(keys) or f"no model that this pack knows; its first keys: {sample}"


def family_of(model: nn.Module) -> Family:
    """Return the family of a network, the narrowest one. Raises ValueError if it is of none."""
    found = [family for family in FAMILIES if isinstance(model, family.network)]
    if not found:
        raise ValueError(f"{type(model).__name__} is no network of this pack")
    return max(found, key=lambda family: len(family.network.__mro__))
