"""One call of a MODEL as its outermost wrapper sees it, and the same call area by area."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ....nextdit.region_areas import Area, paint_areas
from ....nextdit.regions import Regions
from ....nextdit.span import NEVER
from ..host.core_families import patch_of
from ..host.time import flow_time

REFERENCES = ("reference_latent", "time_dim_concat", "context_latents")
"""Arguments of a call of core's Wan that put frames beside the clip's, as large as they are."""


def put_first(transformer_options: dict, kind: str, key: str, wrapper: Callable) -> None:
    """Put a wrapper around all others of a kind, in the options of one call."""
    wrappers = transformer_options.get("wrappers", {})
    transformer_options["wrappers"] = wrappers | {kind: {key: [wrapper]} | wrappers.get(kind, {})}


@dataclass(frozen=True)
class Text:
    """A text as a model takes it: features (B, L, D), and the arguments of a call that belong to it."""

    features: Tensor
    along: dict


@dataclass(frozen=True)
class ModelCall:
    """One call of a MODEL, in the midst of its APPLY_MODEL wrappers, without its text."""

    executor: Callable
    x: Tensor
    t: Tensor
    c_concat: Tensor | None
    control: dict | None
    options: dict
    kwargs: dict

    @property
    def model(self):
        return self.executor.class_obj  # type: ignore[attr-defined]

    @property
    def time(self) -> float:
        return flow_time(float(self.t.flatten()[0]))

    def run(self, features: Tensor | None, executor: Callable | None = None, **more) -> Tensor:
        """Run it with text features (B, L, D) and further arguments."""
        run = executor or self.executor
        given = self.kwargs | more
        return run(self.x, self.t, self.c_concat, features, self.control, dict(self.options), **given)

    def cut(self, area: Area, number: int) -> "ModelCall":
        """Return the call of one area; caches by id take it for another picture than the whole."""
        ids = [uuid.uuid5(known, str(number)) for known in self.options.get("uuids", ())]
        options = self.options | ({"uuids": ids} if ids else {})
        concat = None if self.c_concat is None else area.cut(self.c_concat)
        laid = {name: area.cut(x) for name, x in self.kwargs.items() if self.is_laid_out(x, len(area.box))}
        return replace(
            self, x=area.cut(self.x).contiguous(), c_concat=concat, options=options, kwargs=self.kwargs | laid
        )

    def is_laid_out(self, value: object, axes: int) -> bool:
        """Tell whether an argument lies as the latent does, on its last axes."""
        if not isinstance(value, Tensor) or value.ndim != self.x.ndim:
            return False
        sizes = list(zip(value.shape[-axes:], self.x.shape[-axes:], strict=True))
        return all(own in (1, whole) for own, whole in sizes) and any(own == whole for own, whole in sizes)


def in_areas(call: ModelCall, regions: Regions) -> bool:
    """Tell whether a call is at a time at which each region is a picture of its own."""
    return regions.areas != NEVER and regions.areas.contains(call.time)


CONTROL_PATCHES = ("double_block", "noise_refiner")
"""Patches of a model by which core's nodes control some of its own families in place of a ControlNet."""


def run_areas(call: ModelCall, texts: list[Text], regions: Regions, masks: Tensor) -> Tensor:
    """Run a call area by area, each with its text. Raises ValueError with a ControlNet, which sees the whole."""
    patches = call.options.get("patches", {})
    if call.control is not None or any(patches.get(kind) for kind in CONTROL_PATCHES):
        raise ValueError(
            "areas_until does not go together with a ControlNet, which controls the whole picture, while each region "
            "is still one of its own: set areas_until to 0 on all Regional Prompt nodes"
        )
    if any(call.kwargs.get(name) is not None for name in REFERENCES):
        raise ValueError(
            "areas_until does not go together with reference pictures on this model, which are as large as the whole "
            "clip: set areas_until to 0 on all Regional Prompt and Timed Prompt nodes"
        )
    time = torch.full((1,), call.time, device=masks.device)
    areas = regions.areas_at(masks, time, patch_of(call.model.diffusion_model))
    return paint_areas(
        call.x,
        areas,
        lambda i, _: call.cut(areas[i], i).run(texts[i].features, **texts[i].along),
    )
