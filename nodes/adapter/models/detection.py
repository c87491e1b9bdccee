"""Teach ComfyUI's own loaders to recognise Next-DiT checkpoints.

Core has no door for this: its list of supported models is open, but what a state dict is called is decided by one
function, so that one is wrapped.
"""

import dataclasses
from functools import wraps
from importlib import import_module, util

import comfy.model_detection
import comfy.supported_models

from ....nextdit.families import FAMILIES, recognise
from ....nextdit.quantised import markers
from ....nextdit.train_size import FRAMES_KEY, METADATA_KEY, train_frames, train_tokens
from . import quantised
from .base import OwnConfig, image_model

MARK = "_lumina_next_detection"


def register() -> None:
    """Add our families to ComfyUI's model detection; does nothing the second time."""
    if getattr(comfy.model_detection.detect_unet_config, MARK, False):
        return
    core_detect = comfy.model_detection.detect_unet_config

    @wraps(core_detect)
    def detect(state_dict, key_prefix, *args, **kwargs):
        found = unet_config(state_dict, key_prefix, *args, **kwargs)
        return core_detect(state_dict, key_prefix, *args, **kwargs) if found is None else found

    setattr(detect, MARK, True)
    comfy.model_detection.detect_unet_config = detect
    comfy.supported_models.models += configs()


def configs() -> list[type[OwnConfig]]:
    """Return ComfyUI's config of every family, from the module beside this one that has the family's name.

    Families that ComfyUI does not sample have none.
    """
    return [import_module(f".{name}", __package__).CONFIG for name in sampled()]


def sampled() -> tuple[str, ...]:
    """Return the names of the families that ComfyUI samples."""
    return tuple(family.name for family in FAMILIES if util.find_spec(f".{family.name}", __package__))


def unet_config(state_dict: dict, key_prefix: str, metadata: dict | None = None) -> dict | None:
    """Return ComfyUI's description of a model of ours under `key_prefix`, None if it is something else.

    `metadata` is the safetensors file's. Quantised layers are spelt anew in `state_dict`, since what follows decides by
    their spelling how to build the model. Raises ValueError as `train_tokens`, a family's `infer` and `settle` do.
    """
    found = _recognise(state_dict, key_prefix)
    if found is None:
        return None
    if found.family.name not in sampled():
        raise ValueError(f"this is {found.family.title}: open it with Load Lumina-Next Classifier")
    state_dict |= markers(state_dict, metadata or {}, key_prefix + found.prefix)
    found = _recognise(state_dict, key_prefix)
    weights = {key[len(key_prefix) :]: x for key, x in state_dict.items() if key.startswith(key_prefix)}
    family, told = found.family, found.metadata(weights, metadata or {})
    config = family.read(found.shapes({key: x.shape for key, x in weights.items()}), told)
    quantised.settle(state_dict, {key_prefix + key: name for key, name in found.names.items()}, family, config)
    sizes = {METADATA_KEY: train_tokens(told)} | (
        {FRAMES_KEY: train_frames(told)} if FRAMES_KEY in family.facts else {}
    )
    return {"image_model": image_model(family), **sizes, **dataclasses.asdict(config)}


def _recognise(state_dict: dict, key_prefix: str):
    return recognise(key[len(key_prefix) :] for key in state_dict if key.startswith(key_prefix))
