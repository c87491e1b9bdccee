"""Regional prompts inside CONDITIONING: collected by the node, turned into arguments of our network at each run.

They travel as a cond among the conditioning's `model_conds`, which ComfyUI hands to any model. Ours replaces it by what
its network takes; in front of any other model it stays, and raises: so no model leaves regions out in silence.
"""

from dataclasses import dataclass, replace

import comfy.conds
import comfy.utils
import torch
import torch.nn.functional as F
from torch import Tensor

from ....nextdit.call import Call
from ....nextdit.regions import Region, Regions
from ..host.time import time_span
from ..models.conditioning import text_conds

KEY, MASKS = "lumina_next_regions", "lumina_next_region_masks"
CARRIED = {"attention_mask", "pooled_output"}  # by a text encoder, not by settings
STOCK = {"mask", "mask_strength", "set_area_to_bounds", "area", "strength", "start_percent", "end_percent"}


@dataclass(frozen=True)
class RegionalPrompt:
    """One region as the node is given it: text, masks that multiply, an area, settings in ComfyUI's terms."""

    features: Tensor  # (B, L, D)
    text_mask: Tensor | None  # (B, L)
    masks: tuple[Tensor, ...] = ()  # (B or 1, height, width) each, of any size
    area: tuple | None = None
    strength: float = 1.0
    global_weight: float = 0.0
    start_percent: float = 0.0
    end_percent: float = 1.0

    def place(self, latent: Tensor) -> Tensor:
        """Return where the region is on a latent (B, C, H, W), (B or 1, H, W) in [0, 1]."""
        height, width = latent.shape[-2:]
        place = area_mask(self.area, height, width) if self.area else torch.ones(1, height, width)
        for mask in self.masks:
            mask = F.interpolate(mask.float().cpu().unsqueeze(1), (height, width), mode="area").squeeze(1)
            rows = max(len(mask), len(place))
            place = comfy.utils.repeat_to_batch_size(place, rows) * comfy.utils.repeat_to_batch_size(mask, rows)
        return place.clamp(0.0, 1.0)


class RegionalPrompts(comfy.conds.CONDConstant):
    """What the node leaves in `model_conds`; using it as it is means that the model knows nothing of regions."""

    def __init__(self, cond: tuple[RegionalPrompt, ...], summed: bool, features: Tensor):
        super().__init__(cond)
        self.summed = summed
        self.had_text = bool(features.any())  # of the global prompt

    def zeroed(self, features: Tensor) -> bool:
        """Tell whether Conditioning (Zero Out) has come after the regions, which are to be silent with the rest."""
        return self.had_text and not features.any()

    def process_cond(self, batch_size, **kwargs):
        raise ValueError(
            "this conditioning has regional prompts, which only Lumina-Next models read, and the model being sampled "
            "is another one; use ComfyUI's Conditioning (Set Mask) and Conditioning (Combine) with it, or remove the "
            "Regional Prompt node"
        )


def add_region(conditioning: list, region: list, mask: Tensor | None, summed: bool, **settings: float) -> list:
    """Return a CONDITIONING with a region added to each of its entries, after those that it has.

    Each entry of `region` becomes one; what stock nodes set on it (mask, area, strength, timestep range) counts too.
    `settings` are strength, global_weight, start_percent and end_percent. Raises ValueError for settings out of range,
    a region that carries what a region cannot have, and regions of both maths in one conditioning.
    """
    new = tuple(_region(features, options, mask, summed, **settings) for features, options in region)
    out = []
    for features, options in conditioning:
        conds = options.get("model_conds", {})
        before = conds.get(KEY)
        if before is not None and before.summed != summed:
            raise ValueError("the regions of one conditioning need the same maths: set it alike on all of their nodes")
        prompts = RegionalPrompts((() if before is None else before.cond) + new, summed, features)
        out.append([features, options | {"model_conds": conds | {KEY: prompts}}])
    return out


def _region(features: Tensor, options: dict, mask, summed: bool, strength, global_weight, start_percent, end_percent):
    other = sorted(set(options) - CARRIED - STOCK)
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
    )


def area_mask(area: tuple, height: int, width: int) -> Tensor:
    """Return a stock node's area, (height, width, y, x) or ("percentage", …), as a mask (1, height, width)."""
    if area[0] == "percentage":
        sizes = (height, width, height, width)
        area = tuple(round(part * size) for part, size in zip(area[1:], sizes, strict=True))
    rows, columns, y, x = area
    mask = torch.zeros(1, height, width)
    mask[:, y : y + max(1, rows), x : x + max(1, columns)] = 1.0
    return mask


def regional_conds(
    prompts: RegionalPrompts, features: Tensor, mask: Tensor | None, latent: Tensor, device, sampling
) -> dict:
    """Return the conds of a global prompt with regions: one text sequence, its parts, and the regions' masks.

    features (B, L, D) and mask (B, L) are the global prompt's; `sampling` is the model's. Two such conds only share a
    batch when their parts are equal; with a cond without regions they never do.
    """
    batch = max(len(features), *(len(prompt.features) for prompt in prompts.cond))
    texts = [text_conds(features, mask), *(text_conds(prompt.features, prompt.text_mask) for prompt in prompts.cond)]

    def join(key: str) -> Tensor:
        parts = [comfy.utils.repeat_to_batch_size(text[key].cond.to(features.device), batch) for text in texts]
        return torch.cat(parts, dim=1)

    places = [prompt.place(latent) for prompt in prompts.cond]
    rows = max(len(place) for place in places)
    masks = torch.stack([comfy.utils.repeat_to_batch_size(place, rows) for place in places], dim=1)
    regions = Regions(features.shape[1], tuple(_timed(prompt, sampling) for prompt in prompts.cond), prompts.summed)
    conds = text_conds(join("c_crossattn"), join("attention_mask"))
    placed = comfy.conds.CONDNoiseShape(masks.to(device))
    return conds | {KEY: comfy.conds.CONDConstant(regions), MASKS: placed}


def _timed(prompt: RegionalPrompt, sampling) -> Region:
    span = time_span(sampling, prompt.start_percent, prompt.end_percent)
    return Region(prompt.features.shape[1], prompt.strength, prompt.global_weight, span)


def regional_call(
    call: Call, regions: Regions, masks: Tensor, text: Tensor, text_mask: Tensor | None, t: Tensor, patch_size: int
) -> Call:
    """Return a call in which each region's tokens attend to its own text; the global prompt modulates the layers."""
    cross = regions.cross(regions.weights(masks, t, patch_size), call.attend)
    return replace(call, cross=cross, pooled=regions.pooled(text, text_mask))
