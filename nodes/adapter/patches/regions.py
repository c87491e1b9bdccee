"""The node that adds regional prompts, and what our own network makes of them in each run."""

from dataclasses import replace
from typing import TYPE_CHECKING

import comfy.conds
import comfy.utils
import torch
from torch import Tensor

from ....nextdit.call import Call
from ....nextdit.regions import Region, Regions
from ....nextdit.span import NEVER
from ....nextdit.stretch import Stretch
from ..host.time import time_span
from ..models.conditioning import text_conds
from .region_calls import CONTROL, with_control
from .region_places import area_mask
from .region_prompts import KEY, LOST, MASKS, RegionalPrompt, RegionalPrompts, timed_region

if TYPE_CHECKING:
    from ..models.base import OwnModel

__all__ = ["KEY", "MASKS", "add_region", "area_mask", "prompt_conds", "regional_call", "regional_conds"]

CARRIED = {"attention_mask", "pooled_output"}  # by a text encoder, not by settings
STOCK = {"mask", "mask_strength", "set_area_to_bounds", "area", "strength", "start_percent", "end_percent"}


def add_region(
    conditioning: list,
    region: list,
    mask: Tensor | None,
    summed: bool,
    areas_until: float = 0.0,
    stretch: Stretch | None = None,
    **settings: float,
) -> list:
    """Return a CONDITIONING with a region added to each of its entries, after those that it has.

    Each entry of `region` becomes one; what stock nodes set on it (mask, area, strength, timestep range) counts too.
    `settings` are strength, global_weight, start_percent and end_percent, by default without effect; of several
    areas_until the last counts. `stretch` is when the region is heard in a sound or seen in a clip. Raises ValueError
    for settings out of range, a region that carries what a region cannot have, and regions of both maths in one
    conditioning.
    """
    new = tuple(_region(features, options, mask, summed, stretch, **settings) for features, options in region)
    out = []
    for features, options in conditioning:
        conds = options.get("model_conds", {})
        before = conds.get(KEY)
        if before is not None and before.summed != summed:
            raise ValueError("the regions of one conditioning need the same maths: set it alike on all of their nodes")
        had_text = bool(features.any())
        regions = (() if before is None else before.cond) + new
        prompts = RegionalPrompts(regions, summed, had_text, 0.0 if summed else areas_until)
        out.append([features, with_control(options | {"model_conds": conds | {KEY: prompts}})])
    return out


def _region(
    features: Tensor,
    options: dict,
    mask: Tensor | None,
    summed: bool,
    stretch: Stretch | None,
    strength: float = 1.0,
    global_weight: float = 0.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
) -> RegionalPrompt:
    ours = {"control"} if options.get("control") is CONTROL else set()  # of a region that has regions itself
    other = sorted(set(options) - CARRIED - STOCK - ours)
    if other:
        raise ValueError(
            f"a region cannot have {', '.join(other)} of its own, since all regions share one pass of the model; set "
            "that on the global prompt (input conditioning) instead"
        )
    masks = [m.reshape(-1, *m.shape[-2:]) for m in (options.get("mask"), mask) if m is not None]
    start = max(start_percent, options.get("start_percent", 0.0))
    end = min(end_percent, options.get("end_percent", 1.0))
    if start > end:
        raise ValueError(
            f"a region would never act: its start_percent ({start:g}) is after its end_percent ({end:g}), a timestep "
            "range that came with its prompt included; swap them, or widen one"
        )
    strength = strength * options.get("strength", 1.0) * options.get("mask_strength", 1.0)
    # refuses bad values now, not while sampling
    Regions(1, (Region(features.shape[1], strength, global_weight),), summed)
    return RegionalPrompt(
        features,
        options.get("attention_mask"),
        tuple(masks),
        options.get("area"),
        strength,
        global_weight,
        start,
        end,
        options.get("pooled_output"),
        stretch,
    )


def prompt_conds(model: "OwnModel", kwargs: dict, axes: int) -> dict:
    """Return the conds of what one of our models is asked for: a text alone, or with regions of a latent's `axes`.

    kwargs are those of its extra_conds. Raises ValueError without a text, and for texts of another width than it takes.
    """
    features, mask = model.text(kwargs)
    prompts = kwargs.get("model_conds", {}).get(KEY)
    if prompts is None:
        return text_conds(features, mask)
    for prompt in prompts.cond:
        model.check_width(prompt.features)
    if prompts.zeroed(features):
        return text_conds(features, mask) | {KEY: comfy.conds.CONDConstant(None)}
    if prompts.summed and axes != 2:
        raise ValueError(
            "maths: reference is that of a demo of pictures: set it to normalised on all Regional Prompt nodes"
        )
    return regional_conds(prompts, features, mask, kwargs["noise"], kwargs["device"], model.model_sampling, axes)


def regional_conds(
    prompts: RegionalPrompts, features: Tensor, mask: Tensor | None, latent: Tensor, device, sampling, axes: int = 2
) -> dict:
    """Return the conds of a global prompt with regions: one text sequence, its parts, and the regions' masks.

    features (B, L, D) and mask (B, L) are the global prompt's; `sampling` is the model's, `axes` are the latent's: 2 of
    a picture, 3 of a clip, 1 of a sound. Two such conds only share a batch when their parts are equal; with a cond
    without regions they never do.
    """
    batch = max(len(features), *(len(prompt.features) for prompt in prompts.cond))
    texts = [text_conds(features, mask), *(text_conds(prompt.features, prompt.text_mask) for prompt in prompts.cond)]

    def join(key: str) -> Tensor:
        parts = [comfy.utils.repeat_to_batch_size(text[key].cond.to(features.device), batch) for text in texts]
        return torch.cat(parts, dim=1)

    places = [prompt.place(latent, axes) for prompt in prompts.cond]
    rows = max(len(place) for place in places)
    masks = torch.stack([comfy.utils.repeat_to_batch_size(place, rows) for place in places], dim=1)
    timed = tuple(timed_region(prompt, sampling) for prompt in prompts.cond)
    areas = time_span(sampling, 0.0, prompts.areas_until) if prompts.areas_until else NEVER
    regions = Regions(features.shape[1], timed, prompts.summed, areas)
    conds = text_conds(join("c_crossattn"), join("attention_mask"))
    placed = comfy.conds.CONDNoiseShape(masks.to(device))
    return conds | {KEY: comfy.conds.CONDConstant(regions), MASKS: placed}


def regional_call(call: Call, kwargs: dict, text: Tensor, text_mask: Tensor | None, t: Tensor, patch_size: int) -> Call:
    """Return the call with the regions, if any, of ComfyUI's `kwargs`: each one's tokens attend to its own text.

    The global prompt modulates the layers, and each frame of a clip is modulated by the prompts of its time. Raises
    ValueError for regions that are still to be areas, which takes a call each.
    """
    regions: Regions | None = kwargs.get(KEY)
    if regions is None:
        return call
    if regions.areas != NEVER:
        raise ValueError(LOST)
    masks: Tensor = kwargs[MASKS]
    weights = regions.weights(masks, t, patch_size)
    if masks.ndim == 5:
        pooled = regions.pooled_by_frame(text, text_mask, weights, masks.shape[2])
    else:
        pooled = regions.pooled(text, text_mask)
    return replace(call, cross=regions.cross(weights, call.attend), pooled=pooled)
