"""Teach ComfyUI's own loaders to recognise Next-DiT checkpoints.

Core has no door for this: its list of supported models is open, but what a state dict is called is decided by one
function, so that one is wrapped.
"""

import dataclasses
from functools import wraps

import comfy.model_detection
import comfy.supported_models

from ....nextdit.checkpoint import rope_axes
from ....nextdit.keys import infer_config, is_multiview, model_keys, prefix_of
from ....nextdit.quantised import markers
from ....nextdit.train_size import train_tokens
from . import multiview, quantised
from .image import IMAGE_MODEL, LuminaNextConfig

MARK = "_lumina_next_detection"


def register() -> None:
    """Add this family to ComfyUI's model detection; does nothing the second time."""
    if getattr(comfy.model_detection.detect_unet_config, MARK, False):
        return
    core_detect = comfy.model_detection.detect_unet_config

    @wraps(core_detect)
    def detect(state_dict, key_prefix, *args, **kwargs):
        found = unet_config(state_dict, key_prefix, *args, **kwargs)
        return core_detect(state_dict, key_prefix, *args, **kwargs) if found is None else found

    setattr(detect, MARK, True)
    comfy.model_detection.detect_unet_config = detect
    comfy.supported_models.models += [LuminaNextConfig, multiview.LuminaNextMultiViewConfig]


def unet_config(state_dict: dict, key_prefix: str, metadata: dict | None = None) -> dict | None:
    """Return ComfyUI's description of a Next-DiT under `key_prefix`, None if it is something else.

    `metadata` is the safetensors file's. Quantised layers are spelt anew in `state_dict`, since what follows decides by
    their spelling how to build the model. Raises ValueError as `train_tokens`, `rope_axes` and `settle` do.
    """
    keys = [key[len(key_prefix) :] for key in state_dict if key.startswith(key_prefix)]
    if prefix_of(keys) is None:
        return None
    state_dict |= markers(state_dict, metadata or {}, key_prefix + (prefix_of(keys) or ""))
    names = model_keys(key[len(key_prefix) :] for key in state_dict if key.startswith(key_prefix))
    config = infer_config({name: tuple(state_dict[key_prefix + key].shape) for key, name in names.items()})
    quantised.settle(state_dict, {key_prefix + key: name for key, name in names.items()}, config)
    found = {"image_model": IMAGE_MODEL, "train_tokens": train_tokens(metadata), **dataclasses.asdict(config)}
    if not is_multiview(names.values()):
        return found
    saved = state_dict.get(key_prefix + multiview.ROPE_AXES)
    axes = rope_axes(metadata or {}) if saved is None else int(saved)
    return found | {"image_model": multiview.IMAGE_MODEL, multiview.ROPE_AXES: axes}
