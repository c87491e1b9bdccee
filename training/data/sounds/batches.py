"""Batches of clips as mel spectra with their captions, all decided by the step's number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .captions import Captions
from .mixing import Mixer, Score
from .prepare import MEL, Recordings
from .scenes import notes

EMPTY = 0.1  # part of the captions that become the empty prompt, for classifier-free guidance


@dataclass(frozen=True)
class Bucket:
    """One kind of clip in a run: frames, how many sounds follow each other, share of the steps, from where to where."""

    frames: int
    sounds: int
    share: float
    begins: float = 0.0
    ends: float = 1.0


BUCKETS = (
    # what is what, from clips that cost half
    Bucket(128, 1, 0.7, ends=0.3),
    Bucket(128, 1, 0.1, begins=0.3),
    Bucket(256, 1, 0.3, ends=0.3),
    Bucket(256, 1, 0.5, begins=0.3),
    Bucket(256, 2, 0.3, begins=0.2),
    Bucket(256, 3, 0.1, begins=0.4),
)
TRAIN_FRAMES = max(bucket.frames for bucket in BUCKETS)


def whole(shares: Sequence[float]) -> tuple[Bucket, ...]:
    """Return buckets of clips of full length with one, two and three sounds, by their shares, for a whole run."""
    return tuple(Bucket(TRAIN_FRAMES, sounds, share) for sounds, share in enumerate(shares, 1))


@dataclass(frozen=True)
class SoundPlan:
    """What a batch is to be: the notes of its clips, and a caption each."""

    score: Score
    prompts: list[str]


@dataclass(frozen=True)
class SoundBatch:
    """Mel spectra (B, bins, frames), log10, and a caption each."""

    spectra: Tensor
    prompts: list[str]


class SoundBatches:
    """Draws batches of about `frames` frames together; batch n is the same in every run with the same seed.

    Spectra are made on `device`. With `even` all clips have TRAIN_FRAMES.
    """

    def __init__(
        self,
        data: Recordings,
        frames: int,
        seed: int = 0,
        buckets: Sequence[Bucket] = BUCKETS,
        device: torch.device | str = "cpu",
        even: bool = False,
    ):
        self.data, self.frames, self.seed = data, frames, seed
        self.buckets = tuple(bucket for bucket in buckets if not even or bucket.frames == TRAIN_FRAMES)
        self.mixer, self.captions = Mixer(data.spectra, device), Captions()

    def draw(self, step: int, spent: float) -> SoundBatch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        return self.finish(self.plan(step, spent))

    def plan(self, step: int, spent: float) -> SoundPlan:
        """Return what the batch of a step is to be."""
        chance = random.Random(f"{self.seed} {step}")
        open_now = [b for b in self.buckets if b.begins <= spent <= b.ends] or list(self.buckets)
        bucket = chance.choices(open_now, [b.share for b in open_now])[0]
        scenes, prompts = [], []
        for _ in range(max(1, round(self.frames / bucket.frames))):
            order = self.captions.order(bucket.sounds, chance)
            scenes.append(notes(order, self.data.counts, bucket.frames / MEL.frame_rate, chance))
            prompts.append("" if chance.random() < EMPTY else self.captions.draw(order, chance))
        return SoundPlan(Score.of(scenes, bucket.frames), prompts)

    def finish(self, plan: SoundPlan) -> SoundBatch:
        """Return the batch of a plan."""
        return SoundBatch(self.mixer(plan.score), plan.prompts)
