"""Regional prompts on core's networks: their texts joined in one context, heard region by region."""

from dataclasses import replace

import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....nextdit.regions import Regions
from ..host.core_attention import EditRequest, run_with_request
from ..host.core_families import family_of, patch_of
from ..host.core_regions import REGIONS, HeardTexts, regional_attention
from ..host.core_regions_apart import ApartTexts, regional_attention_apart
from ..host.core_sequence import NextDiTSequence
from .model_call import ModelCall, Text, in_areas, put_first, run_areas
from .region_prompts import KEY, AskedRegions, RegionalPrompt

BESIDE = ("attention_mask", "num_tokens")
"""Arguments that core's models have for a text beside its features."""
POOLED = ("y", "clip_text_pooled")
REFUSED = {"ref_latents": "reference latents", "direct_context": "texts for the picture of Ming-Image"}
"""Arguments of core's NextDiT that put more between its texts and its image."""


def run_joint(call: ModelCall, asked: AskedRegions, features: Tensor) -> Tensor:
    """Run a call of one of core's networks with the global prompt's features (B, L, D) and regions."""
    if asked.zeroed(features):
        return call.run(features)
    if asked.summed:
        raise ValueError(
            "maths: reference is that of Lumina-Next's compositional demo, and for its models alone; set it to "
            "normalised on all Regional Prompt nodes"
        )
    family = family_of(call.model.diffusion_model)
    apart = family is not None and family.text_apart
    regions, masks = asked.on(call.model, call.x, 3 if apart else 2, call.options.get("context_window"))
    known = {name: call.kwargs[name] for name in BESIDE if name in call.kwargs}
    texts = [Text(features, known), *(region_text(prompt, call, features) for prompt in asked.prompts)]
    call = replace(call, kwargs={name: value for name, value in call.kwargs.items() if name not in BESIDE})
    if in_areas(call, regions):
        return run_areas(call, texts, regions, masks)
    return run_heard(call, texts, regions, masks, apart)


def region_text(prompt: RegionalPrompt, call: ModelCall, features: Tensor) -> Text:
    """Return a region's text as the model makes it of a prompt. Raises ValueError if it is of another width."""
    given = {"attention_mask": prompt.text_mask, "pooled_output": prompt.pooled}
    given = {name: value for name, value in given.items() if value is not None}
    conds = call.model.extra_conds(
        cross_attn=prompt.features, noise=call.x, device=call.x.device, prompt_type="positive", **given
    )
    made = {
        name: conds[name].process_cond(batch_size=len(call.x), area=None).cond
        for name in ("c_crossattn", *BESIDE, *POOLED)
        if name in conds
    }
    text = made.pop("c_crossattn").to(features)
    if text.shape[-1] != features.shape[-1]:
        raise ValueError(
            f"the text features of a region are {text.shape[-1]} wide and the global prompt's {features.shape[-1]}: "
            "encode both with this model's text encoder"
        )
    return Text(text, made)


def run_heard(call: ModelCall, texts: list[Text], regions: Regions, masks: Tensor, apart: bool) -> Tensor:
    """Run a call with all the texts that are heard now; one that is heard alone is an ordinary prompt.

    `apart` is whether the network attends to the text apart from the picture.
    """
    shares = regions.weights(masks, torch.full((1,), call.time), patch_of(call.model.diffusion_model))
    heard = [i for i in range(len(texts)) if bool((shares[:, i] > 0).any())]
    if len(heard) == 1:
        text = texts[heard[0]]
        return call.run(text.features, **{name: text.along[name] for name in BESIDE if name in text.along})
    network = call.model.diffusion_model
    _check_sequence(call, network)
    parts = [texts[i] for i in heard]
    joined = torch.cat([text.features for text in parts], dim=1)
    lengths = tuple(text.features.shape[1] for text in parts)
    if apart:
        picture = call.kwargs.get("clip_fea") if getattr(network, "img_emb", None) is not None else None
        ahead = shares.shape[-1] // masks.shape[2] if has_reference(network, call.kwargs) else 0
        value: HeardTexts | ApartTexts = ApartTexts(
            lengths, shares[:, heard], ahead, 0 if picture is None else picture.shape[-2]
        )
        wrapper = regional_attention_apart(KEY, network)
    else:
        value = HeardTexts(lengths, shares[:, heard], has_global=heard[0] == 0)
        wrapper = regional_attention(KEY, network)
    request = EditRequest(value)
    put_first(call.options, WrappersMP.DIFFUSION_MODEL, KEY, wrapper)

    def run(*args, **kwargs):
        return run_with_request(KEY, REGIONS, request, call.executor, *args, **kwargs)

    return call.run(joined, run, **_beside(parts, joined))


def has_reference(network, kwargs: dict) -> bool:
    """Tell whether a frame of a reference stands in front of a video network's clip."""
    return getattr(network, "ref_conv", None) is not None and kwargs.get("reference_latent") is not None


def _beside(parts: list[Text], joined: Tensor) -> dict:
    """Return what goes along with joined texts: a mask (B, L) if any has one, and the number of tokens."""
    beside: dict = {}
    masks = [text.along.get("attention_mask") for text in parts]
    if any(mask is not None for mask in masks):
        whole = [
            torch.ones(text.features.shape[:2], device=joined.device)
            if mask is None
            else comfy.utils.repeat_to_batch_size(mask.to(joined.device), len(joined))
            for text, mask in zip(parts, masks, strict=True)
        ]
        kind = next(mask.dtype for mask in masks if mask is not None)
        beside["attention_mask"] = torch.cat([mask.to(kind) for mask in whole], dim=1)
    if any("num_tokens" in text.along for text in parts):
        beside["num_tokens"] = joined.shape[1]
    return beside


def _check_sequence(call: ModelCall, network) -> None:
    family = family_of(network)
    if family is not None and isinstance(family.sequence, NextDiTSequence):
        for name, what in REFUSED.items():
            if call.kwargs.get(name):
                raise ValueError(
                    f"Regional Prompt cannot go together with {what} on {family.name} models, which stand between the "
                    "texts and the picture: remove one of the two"
                )
