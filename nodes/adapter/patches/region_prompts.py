"""Regional prompts as they travel inside CONDITIONING, to whatever model samples it.

They are a cond among its `model_conds`. Ours replaces it by what its network takes; for core's it stays as it is, until
the wrapper of region_calls.py takes it. What nobody takes raises: so no model leaves regions out in silence.
"""

from dataclasses import dataclass, replace

import comfy.conds
import comfy.utils
import torch
from torch import Tensor

from ....nextdit.regions import Region, Regions
from ....nextdit.span import NEVER
from ....nextdit.stretch import Stretch
from ..host.time import time_span
from .region_places import place

KEY, MASKS = "lumina_next_regions", "lumina_next_region_masks"
LOST = (
    "the regional prompts of this conditioning were lost on their way to the model, since another node has replaced "
    "the conditioning's control; put that node in front of the Regional Prompt nodes"
)


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
    pooled: Tensor | None = None  # (B, D), of models that have one beside the features
    stretch: Stretch | None = None

    def place(self, latent: Tensor, axes: int = 2) -> Tensor:
        """Return where the region is on a latent (B, C, …, *axes), (B or 1, *axes) in [0, 1]."""
        return place(self.masks, self.area, self.stretch, tuple(latent.shape[-axes:]))


class RegionalPrompts(comfy.conds.CONDConstant):
    """What the node leaves in `model_conds`: the regions, and until which part of the sampling they are areas."""

    def __init__(self, cond: tuple[RegionalPrompt, ...], summed: bool, had_text: bool, areas_until: float = 0.0):
        super().__init__(cond)
        self.summed, self.areas_until = summed, areas_until
        self.had_text = had_text  # the global prompt, before Conditioning (Zero Out)
        self.asked = AskedRegions(cond, summed, had_text, areas_until)

    def zeroed(self, features: Tensor) -> bool:
        """Tell whether Conditioning (Zero Out) has come after the regions, which are to be silent with the rest."""
        return self.asked.zeroed(features)

    def process_cond(self, batch_size, area=None, **kwargs):
        copied = RegionalPrompts(self.cond, self.summed, self.had_text, self.areas_until)
        copied.asked = replace(self.asked, area=None if area is None else tuple(area))
        return copied

    def can_concat(self, other) -> bool:
        return False  # one with the same regions may be this one behind Zero Out, where they are silent

    def concat(self, others):
        return self.asked


@dataclass(frozen=True, eq=False)
class AskedRegions:
    """What reaches a call of one of core's models: regions, and the `area` of the latent that it is about, if any."""

    prompts: tuple[RegionalPrompt, ...]
    summed: bool
    had_text: bool
    areas_until: float
    area: tuple[int, ...] | None = None

    @property
    def dtype(self):
        """Raise ValueError: core asks every argument of a network for its dtype, so nothing has taken this one."""
        raise ValueError(LOST)

    def zeroed(self, features: Tensor) -> bool:
        """Tell whether Conditioning (Zero Out) has come after the regions, which are to be silent with the rest."""
        return self.had_text and not features.any()

    def on(self, model, x: Tensor, axes: int = 2, window=None) -> tuple[Regions, Tensor]:
        """Return the regions of a call with latents x (B, C, …, *axes), and masks (B or 1, R, *axes) on the CPU.

        `window` are the frames of a longer clip that x has, as core's context windows say it.
        """
        full = x
        if self.area is not None:
            full = x.new_empty(full_size(model, x), device="meta")
        if window is not None and axes == 3:
            full = full.new_empty([*full.shape[:2], window.total_frames, *full.shape[3:]], device="meta")
        places = [prompt.place(full, axes) for prompt in self.prompts]
        rows = max(len(place) for place in places)
        rows = len(x) if rows > 1 else 1
        masks = torch.stack([comfy.utils.repeat_to_batch_size(place, rows) for place in places], dim=1)
        if self.area is not None:
            told = len(self.area) // 2
            dims = min(told, axes)
            sizes, offsets = self.area[told - dims : told], self.area[-dims:]
            for axis, size, at in zip(range(-dims, 0), sizes, offsets, strict=True):
                masks = masks.narrow(axis, at, size)
        if window is not None and axes == 3:
            masks = window.get_tensor(masks, dim=2)
        sampling = model.model_sampling
        timed = tuple(timed_region(prompt, sampling) for prompt in self.prompts)
        areas = time_span(sampling, 0.0, self.areas_until) if self.areas_until else NEVER
        return Regions(1, timed, self.summed, areas), masks


def full_size(model, x: Tensor) -> tuple[int, ...]:
    """Return the size of the latent that an area x is of. Raises RuntimeError if this ComfyUI does not tell."""
    shapes = getattr(model, "latent_shapes", None)
    if not shapes or len(shapes[0]) != x.ndim:
        raise RuntimeError(
            "Regional Prompt cannot stand within Conditioning (Set Area) on this model in this release of ComfyUI, "
            "which does not tell how large the whole picture is; remove Set Area, or update ComfyUI"
        )
    return tuple(shapes[0])


def timed_region(prompt: RegionalPrompt, sampling) -> Region:
    span = time_span(sampling, prompt.start_percent, prompt.end_percent)
    return Region(prompt.features.shape[1], prompt.strength, prompt.global_weight, span, prompt.stretch is not None)
