"""Batches of clips as mel spectra with their captions, all decided by the step's number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .captions import Captions
from .prepare import LOWEST, MEL, Recordings, from_bytes
from .scenes import Note, envelope, notes

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


@dataclass(frozen=True)
class SoundBatch:
    """Mel spectra (B, bins, frames), log10, and a caption each."""

    spectra: Tensor
    prompts: list[str]


class SoundBatches:
    """Draws batches of about `frames` frames together; batch n is the same in every run with the same seed."""

    def __init__(self, data: Recordings, frames: int, seed: int = 0, buckets: Sequence[Bucket] = BUCKETS):
        self.data, self.frames, self.seed, self.buckets = data, frames, seed, tuple(buckets)
        self.powers = 100.0 ** from_bytes(np.arange(256))
        self.captions = Captions()

    def draw(self, step: int, spent: float) -> SoundBatch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        chance = random.Random(f"{self.seed} {step}")
        open_now = [b for b in self.buckets if b.begins <= spent <= b.ends] or list(self.buckets)
        bucket = chance.choices(open_now, [b.share for b in open_now])[0]
        spectra, prompts = [], []
        for _ in range(max(1, round(self.frames / bucket.frames))):
            order = self.captions.order(bucket.sounds, chance)
            spectra.append(self.spectrum(order, bucket.frames, chance))
            prompts.append("" if chance.random() < EMPTY else self.captions.draw(order, chance))
        return SoundBatch(torch.from_numpy(np.stack(spectra)), prompts)

    def spectrum(self, order: Sequence[int], frames: int, chance: random.Random) -> np.ndarray:
        """Return the spectrum (bins, frames) of sounds one after the other."""
        return self.mixed(notes(order, self.data.counts, frames / MEL.frame_rate, chance), frames)

    def mixed(self, scene: Sequence[Note], frames: int) -> np.ndarray:
        """Return the spectrum (bins, frames) of notes: their powers add up, as those of unrelated sounds do."""
        power = np.full((MEL.bins, frames), 100.0**LOWEST, np.float32)
        for note in scene:
            begin = round(note.begins * MEL.frame_rate)
            played = self.powers[self.data.spectra[note.sound, note.recording]]
            played = (played * envelope(note, MEL.frame_rate, played.shape[1]) ** 2)[:, : frames - begin]
            power[:, begin : begin + played.shape[1]] += played
        return 0.5 * np.log10(power)
