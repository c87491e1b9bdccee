"""A video checkpoint under test: the clips that it is asked for, how it draws them, what the judges say."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...nextdit import ClassifierNextDiT, RopeScaling, TextEncoder, VideoNextDiT
from ...nextdit.captions import Part
from ...pipelines.sampling import Sampling
from ...pipelines.video import VideoRequest, clip_scaling, sample_clips
from ...training.data.motion.batches import FRAMES, PIXELS, render, sprites
from ...training.data.motion.captions import sentence
from ...training.data.motion.moves import MOVES, track
from ..shared.metrics import mean, rate
from ..shared.truth import Truth
from .judge import Classifier, Identities, all_kinds, drift, motion, unsteadiness

Row = dict[str, Any]
AUTO = "auto"
PLAIN = tuple((kind, "") for kind in MOVES)  # every way to move, no speed said


@dataclass(frozen=True)
class Case:
    """What a clip is to show: a concept by number, how it moves and how fast."""

    concept: int
    kind: str
    speed: str


@dataclass
class Bench:
    """A checkpoint under test, the truth that it was trained on, how it samples, `each` clips of a way and speed."""

    model: VideoNextDiT
    encoder: TextEncoder
    truth: Truth
    classifier: ClassifierNextDiT
    sampling: Sampling = VideoRequest.sampling
    batch: int = 8
    each: int = 3
    clips: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self):
        self.rgba = torch.from_numpy(self.truth.rgba(64).copy())[: len(self.truth.emoji)]
        self.known = Identities(self.rgba)
        self.network = Classifier(self.classifier, self.truth.emoji)

    def cases(
        self, kinds: Sequence[tuple[str, str]] | None = None, each: int | None = None, begin: int = 0
    ) -> list[Case]:
        """Return `each` concepts for each way and speed, all concepts about as often; another `begin`, others."""
        kinds, each, count = all_kinds() if kinds is None else kinds, each or self.each, len(self.truth.emoji)
        return [
            Case((each * i + j + begin) * 7 % count, kind, speed)
            for i, (kind, speed) in enumerate(kinds)
            for j in range(each)
        ]

    def prompts(self, cases: Sequence[Case], language: str = "en") -> list[str]:
        """Return the captions of cases."""
        return [sentence(language, self.truth.name(c.concept, language), c.kind, c.speed) for c in cases]

    def true(self, cases: Sequence[Case], frames: int = FRAMES, size: int = PIXELS) -> Tensor:
        """Return the clips that cases ask for, (N, 3, F, size, size)."""
        tracks = [track(c.kind, c.speed, torch.linspace(0, 1, frames)) for c in cases]
        return render(sprites(self.rgba)[[c.concept for c in cases]], tracks, size, size)

    @cached_property
    def from_captions(self) -> tuple[list[Case], Tensor]:
        """All cases, and clips from their captions: what several sections look at."""
        cases = self.cases()
        return cases, self.draw(self.prompts(cases))

    def rope(self, method: str, frames: int, size: int) -> RopeScaling:
        """Return the scaling of clips of a size by a method."""
        patch = self.model.config.patch_size
        grid = (size // patch, size // patch)
        return clip_scaling(RopeScaling(method), grid, frames, PIXELS // patch, FRAMES).resolved(None)[0]

    def draw(
        self,
        prompts: Sequence[str],
        frames: int = FRAMES,
        size: int = PIXELS,
        *,
        seed: int = 0,
        method: str = AUTO,
        first: Tensor | None = None,
        sampling: Sampling | None = None,
        parts: Sequence[Sequence[Part]] | None = None,
        **options: Any,
    ) -> Tensor:
        """Return clips (N, 3, F, size, size) of prompts; `first` (N, 3, size, size) are given first frames.

        `parts` are of each prompt, as `sample_clips` takes them.
        """
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn((len(prompts), 3, frames, size, size), generator=generator)
        given = None
        if first is not None:
            x[:, :, 0], given = first, torch.arange(frames) == 0
        made = [
            sample_clips(
                self.model,
                self.encoder,
                prompts[i : i + self.batch],
                x[i : i + self.batch],
                sampling or self.sampling,
                given=given,
                rope=self.rope(method, frames, size),
                parts=parts and parts[i : i + self.batch],
                **options,
            )
            for i in range(0, len(prompts), self.batch)
        ]
        return torch.cat(made).float().cpu()

    def score(self, clips: Tensor, cases: Sequence[Case]) -> Row:
        """Return what the judges say of clips of cases, shares and means with 95 % intervals.

        Drift is in percent of the way from black to white.
        """
        seen = [motion(clip) for clip in clips]
        right = [m.kind == case.kind for m, case in zip(seen, cases, strict=True)]
        speeds = [m.speed == case.speed for m, case in zip(seen, cases, strict=True) if m.kind == case.kind]
        shown = [
            self.known.nearest(clip, case.kind == "turn") == case.concept
            for clip, case in zip(clips, cases, strict=True)
        ]
        named = [self.network.nearest(clip) == case.concept for clip, case in zip(clips, cases, strict=True)]
        return {
            "motion": rate(torch.tensor(right)),
            "speed, of those": rate(torch.tensor(speeds or [False])),
            "object": rate(torch.tensor(shown)),
            "object, classifier": rate(torch.tensor(named)),
            "drift": mean(torch.tensor([50 * drift(clip) for clip in clips])),
            "unsteadiness": mean(torch.tensor([unsteadiness(clip) for clip in clips])),
        }
