"""Batches of tunes as mel spectra with their captions, all decided by the step's number."""

import random

import torch

from ..sounds.batches import EMPTY, SoundBatch, SoundPlan
from ..sounds.mixing import Mixer, Score
from ..sounds.prepare import MEL
from ..sounds.scenes import Note
from .captions import Piece, draw_caption, draw_piece
from .instruments import INSTRUMENTS
from .prepare import Tones
from .tunes import PITCHES, REACH, tune

TRAIN_FRAMES = 384
RELEASE = 0.1
"""Seconds in which a tone that is over fades out."""


def scene(piece: Piece, font: int, seconds: float, chance: random.Random) -> list[Note]:
    """Return the notes of a tune: which instrument, and which of its recordings, those of a font after another's."""
    low = INSTRUMENTS[piece.instrument].low
    return [
        Note(piece.instrument, font * PITCHES + tone.pitch - low + REACH[0], tone.begins, tone.gain, tone.ends)
        for tone in tune(piece.key, piece.bpm, seconds, low, chance)
    ]


class MusicBatches:
    """Draws batches of about `frames` frames together; batch n is the same in every run with the same seed.

    Spectra are made on `device`. Early in a run, clips are half as long, unless all are to be `even`.
    """

    def __init__(self, data: Tones, frames: int, seed: int = 0, device: torch.device | str = "cpu", even: bool = False):
        self.frames, self.seed, self.fonts, self.even = frames, seed, data.fonts, even
        self.mixer = Mixer(data.spectra, device, RELEASE)

    def draw(self, step: int, spent: float) -> SoundBatch:
        """Return the batch of a step, `spent` (0 to 1) of the run being over."""
        return self.finish(self.plan(step, spent))

    def plan(self, step: int, spent: float) -> SoundPlan:
        """Return what the batch of a step is to be."""
        chance = random.Random(f"{self.seed} {step}")
        length = TRAIN_FRAMES // 2 if not self.even and spent < 0.15 and chance.random() < 0.7 else TRAIN_FRAMES
        scenes, prompts = [], []
        for _ in range(max(1, round(self.frames / length))):
            piece = draw_piece(chance)
            scenes.append(scene(piece, chance.randrange(self.fonts), length / MEL.frame_rate, chance))
            prompts.append("" if chance.random() < EMPTY else draw_caption(piece, chance))
        return SoundPlan(Score.of(scenes, length), prompts)

    def finish(self, plan: SoundPlan) -> SoundBatch:
        """Return the batch of a plan."""
        return SoundBatch(self.mixer(plan.score), plan.prompts)
