"""Clips of one sound and of two, some of whose recordings no network learns from."""

from dataclasses import dataclass, replace
from random import Random

import numpy as np
from torch import Tensor

from ...training.data.sounds import captions
from ...training.data.sounds.batches import EMPTY, SoundBatch
from ...training.data.sounds.mixing import Mixer, Score
from ...training.data.sounds.prepare import MEL, Recordings
from ...training.data.sounds.scenes import notes
from ..sounds.judge import JUDGED
from .variants import FRAMES, Variant

EVERY = 8
"""Of the recordings of a sound, each so many is held out."""
SOUNDS = JUDGED[::2]
"""Half of those that a judge knows, so that minutes are enough."""


@dataclass(frozen=True)
class Captioned:
    """A clip's sounds in their order, its plain caption, and its structured one."""

    order: tuple[int, ...]
    caption: str
    structured: str

    @classmethod
    def of(cls, order: tuple[int, ...], form: float) -> "Captioned":
        """Return an English caption in one of the forms of training, 0 ≤ form < 1."""
        names = [captions.with_article(n) for n in order]
        forms = captions.ENGLISH[1:3] if len(order) == 1 else captions.THEN["en"]
        pattern = forms[int(form * len(forms))]
        return cls(order, pattern.format(a=names[0], b=names[-1]), captions.structured(order))

    def turned(self, form: float) -> "Captioned":
        """Return the caption of the same sounds the other way round."""
        return Captioned.of(self.order[::-1], form)


def divided(data: Recordings) -> tuple[Recordings, Recordings]:
    """Return recordings to learn from and those that are held out."""
    held = np.arange(data.spectra.shape[1]) % EVERY == 0
    return replace(data, spectra=data.spectra[:, ~held]), replace(data, spectra=data.spectra[:, held])


def drawn(count: int, chance: Random, held: bool) -> list[Captioned]:
    """Return clips' captions, half of one sound and half of two; orders that training never has if `held` allows it."""
    found: list[Captioned] = []
    while len(found) < count:
        order = tuple(chance.sample(SOUNDS, 1 + len(found) % 2))
        if held or not captions.pair_is_held_out(order):
            found.append(Captioned.of(order, chance.random()))
    return found


class Clips:
    """Clips mixed from recordings, spectra (B, bins, FRAMES), log10; a number decides them."""

    def __init__(self, data: Recordings, held: bool = False):
        self.counts, self.held, self.mixer = data.counts, held, Mixer(data.spectra)

    def draw(self, count: int, number: str) -> tuple[Tensor, list[Captioned]]:
        """Return `count` clips, and what is heard in them."""
        chance = Random(number)
        found = drawn(count, chance, self.held)
        scenes = [notes(each.order, self.counts, FRAMES / MEL.frame_rate, chance) for each in found]
        return self.mixer(Score.of(scenes, FRAMES)), found


class RaceBatches:
    """Batches for a variant: the same clips, forms of captions and empty prompts for all with one seed."""

    def __init__(self, clips: Clips, variant: Variant, count: int, seed: int):
        self.clips, self.variant, self.count, self.seed = clips, variant, count, seed

    def draw(self, step: int, spent: float) -> SoundBatch:
        """Return the batch of a step."""
        spectra, found = self.clips.draw(self.count, f"{self.seed} {step}")
        chance = Random(f"empty {self.seed} {step}")
        reads = self.variant.reads
        prompts = ["" if chance.random() < EMPTY else reads(each.caption, each.structured) for each in found]
        return SoundBatch(spectra, prompts)
