"""A prompt for each part of the time of a sound or a clip, in one flow: each part's text is heard by its own frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nextdit import Call
from ..nextdit.captions import Part
from ..nextdit.layers.attend import default_attend
from ..nextdit.region_areas import paint_areas
from ..nextdit.regions import Region, Regions
from ..nextdit.span import Span
from ..nextdit.stretch import Stretch
from ..samplers.solvers import Velocity
from .sampling import Encoder

AREAS_UNTIL = 0.3
"""Part of the sampling in which each part is a sound or clip of its own, as in ComfyUI; measured in docs/audio.md."""
Run = Callable[[Tensor, Tensor, Tensor, Tensor, Call, slice], Tensor]
"""run(x, t, text, mask, call, frames) → velocity of x, which are those frames of the whole, in x's dtype."""


def even_parts(prompts: Sequence[str]) -> list[Part]:
    """Return prompts that follow one another, each with as much of the time."""
    count = len(prompts)
    return [Part(prompt, Stretch(n / count, (n + 1) / count)) for n, prompt in enumerate(prompts)]


@dataclass(frozen=True)
class TimedText:
    """The global prompts of a batch and those of its parts, encoded, and where the parts are, (1, R, *axes)."""

    regions: Regions
    texts: tuple[tuple[Tensor, Tensor], ...]
    masks: Tensor

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        prompts: Sequence[str],
        parts: Sequence[Sequence[Part]],
        axes: Sequence[int],
        weight: Tensor,
    ) -> "TimedText":
        """Encode B global prompts and the parts of each, for the dtype and device of a weight.

        `axes` are the latent's: frames, or frames, rows and columns. Raises ValueError unless all have their parts at
        the same times.
        """
        stretches = [part.stretch for part in parts[0]]
        if any([part.stretch for part in row] != stretches for row in parts):
            raise ValueError("what is made in one batch needs the same parts of the time: make them one by one")
        rows = [list(prompts), *([row[n].prompt for row in parts] for n in range(len(stretches)))]
        texts = []
        for row in rows:
            features, mask = encoder(row)
            counts = torch.ones(features.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
            texts.append((features.to(weight), counts.to(weight.device)))
        regions = tuple(Region(features.shape[1], modulates=True) for features, _ in texts[1:])
        masks = torch.stack([stretch.share(axes[0]) for stretch in stretches])[None]
        masks = masks.reshape(*masks.shape, *(1,) * (len(axes) - 1)).expand(1, -1, *axes)
        areas = Span(0.0, AREAS_UNTIL)
        return cls(Regions(texts[0][0].shape[1], regions, areas=areas), tuple(texts), masks.to(weight.device))

    def velocity(self, run: Run, patch_size: int) -> Velocity:
        """Return the velocity (B, C, *axes) under the prompts, of a network that `run` calls."""

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            t = t.float().to(x.device).expand(len(x))
            if not self.regions.areas.contains(float(t[0])):
                return self.heard(run, x, t, patch_size)
            areas = self.regions.areas_at(self.masks, t[:1], patch_size)

            def draw(number: int, box: Tensor) -> Tensor:
                area = areas[number]
                assert area is not None
                return run(box, t, *self.texts[number], Call(), area.box[0])

            return paint_areas(x, areas, draw)

        return velocity

    def heard(self, run: Run, x: Tensor, t: Tensor, patch_size: int) -> Tensor:
        """Return the velocity of the whole, in which each part hears its own text."""
        text, mask = (torch.cat(found, dim=1) for found in zip(*self.texts, strict=True))
        weights = self.regions.weights(self.masks, t, patch_size)
        if self.masks.ndim == 5:
            pooled = self.regions.pooled_by_frame(text, mask, weights, self.masks.shape[2])
        else:
            pooled = self.regions.pooled(text, mask)
        call = Call(cross=self.regions.cross(weights, default_attend), pooled=pooled)
        return run(x, t, text, mask, call, slice(0, x.shape[2]))
