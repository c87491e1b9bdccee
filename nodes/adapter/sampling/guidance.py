"""Guidance of the first latent channels as a MODEL patch."""

import math
from functools import partial

import torch

from ....samplers import guide
from ..host.progress import tell


def channel_guidance(channels: int, args: dict) -> torch.Tensor:
    """Return guided x - denoised from ComfyUI's cfg-function arguments, guiding the first `channels` channels."""
    # At cfg 1 ComfyUI does not run the unconditional pass, and args["uncond"] means nothing.
    if math.isclose(args["cond_scale"], 1.0):
        return args["cond"]
    return guide(args["cond"], args["uncond"], args["cond_scale"], channels)


def guide_channels(model, channels: int):
    """Return a clone of a MODEL whose classifier-free guidance acts on its first `channels` latent channels only.

    Raises ValueError when the model has fewer channels, or when another node replaced its guidance already.
    """
    available = model.get_model_object("latent_format").latent_channels
    if not 1 <= channels <= available:
        raise ValueError(f"channels must be between 1 and {available}, the model's latent channels, got {channels}")
    if "sampler_cfg_function" in model.model_options:
        raise ValueError(
            "another node has already replaced this model's guidance (Channel Guidance, RescaleCFG, RenormCFG or the "
            "like), and only one can act; remove one of them"
        )
    guided = "all channels, as without this node" if channels == available else f"{channels} of {available} channels"
    tell(f"cfg acts on {guided}")
    patched = model.clone()
    patched.set_model_sampler_cfg_function(partial(channel_guidance, channels))
    return patched
