"""A prompt for each part of a sound's time, in one flow: each part's text is heard by its own frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nextdit import Call, RopeScaling
from ..nextdit.captions import Part
from ..nextdit.layers.attend import default_attend
from ..nextdit.models.audio import AudioDiT
from ..nextdit.region_areas import paint_areas
from ..nextdit.regions import Region, Regions
from ..nextdit.span import Span
from .sampling import Encoder

AREAS_UNTIL = 0.3
"""Part of the sampling in which each part is a sound of its own, as in ComfyUI; measured in docs/audio.md."""
Ropes = Callable[[int], RopeScaling | None]
"""ropes(frames) → how RoPE is scaled for so many."""


@dataclass(frozen=True)
class TimedText:
    """The global prompts of a batch and those of its parts, encoded, and where the parts are, for so many frames."""

    regions: Regions
    texts: tuple[tuple[Tensor, Tensor], ...]
    masks: Tensor

    @classmethod
    def of(
        cls, encoder: Encoder, prompts: Sequence[str], parts: Sequence[Sequence[Part]], frames: int, weight: Tensor
    ) -> "TimedText":
        """Encode B global prompts and the parts of each; all have equally many, in the same stretches of time."""
        stretches = [part.stretch for part in parts[0]]
        if any([part.stretch for part in row] != stretches for row in parts):
            raise ValueError("the sounds of one batch need the same parts of the time: make them one by one")
        rows = [list(prompts), *([row[n].prompt for row in parts] for n in range(len(stretches)))]
        texts = []
        for row in rows:
            features, mask = encoder(row)
            counts = torch.ones(features.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
            texts.append((features.to(weight), counts.to(weight.device)))
        regions = tuple(Region(features.shape[1]) for features, _ in texts[1:])
        masks = torch.stack([stretch.share(frames) for stretch in stretches])[None]
        areas = Span(0.0, AREAS_UNTIL)
        return cls(Regions(texts[0][0].shape[1], regions, areas=areas), tuple(texts), masks.to(weight.device))

    def velocity(self, model: AudioDiT, x: Tensor, t: Tensor, ropes: Ropes) -> Tensor:
        """Return the velocity (B, C, T) of frames x at t (B,) under the prompts."""
        if not self.regions.areas.contains(float(t[0])):
            return self.heard(model, x, t, ropes)
        areas = self.regions.areas_at(self.masks, t[:1], model.config.patch_size)

        def draw(number: int, box: Tensor) -> Tensor:
            return model(box, t, *self.texts[number], rope=ropes(box.shape[-1]))

        return paint_areas(x, areas, draw)

    def heard(self, model: AudioDiT, x: Tensor, t: Tensor, ropes: Ropes) -> Tensor:
        """Return the velocity of the whole, in which each part hears its own text."""
        text, mask = (torch.cat(found, dim=1) for found in zip(*self.texts, strict=True))
        weights = self.regions.weights(self.masks, t, model.config.patch_size)
        cross, pooled = self.regions.cross(weights, default_attend), self.regions.pooled(text, mask)
        call = Call(rope=ropes(x.shape[-1]), cross=cross, pooled=pooled)
        return model.velocity(x.to(text), t, text, mask, call).to(x.dtype)
