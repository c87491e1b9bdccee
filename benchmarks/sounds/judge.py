"""The judge of sounds: a linear one on features of sound, trained on SoundFonts that the generator never heard."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.data.sounds.prepare import MEL
from ...training.data.sounds.rendering import PLACES, SAMPLE_RATE, SoundFont, render
from ...training.data.sounds.scenes import Note, mixed, notes
from ...training.data.sounds.sounds import SOUNDS
from .hearing import SECONDS, Hearing, windows

FONTS = (SoundFont("TimGM6mb.sf2"), SoundFont("sf_GMbank.sf2", effects=True))
"""GPL and LGPL: to judge with, not for shipped weights. None of their effects is a recording of the generator's."""

UNHEARD = (
    "guitar", "violin", "kalimba", "taiko drum", "applause", "bird song", "rain", "thunder", "siren", "train",
)  # fmt: skip
"""Sounds that the judge takes for others even where they are true: fonts differ too much in them."""
JUDGED = [n for n, sound in enumerate(SOUNDS) if sound.name not in UNHEARD]


class Clips:
    """Clips (samples,) of single sounds of some fonts, put together as in training."""

    def __init__(self, fonts: Sequence[SoundFont], count: int, seed: str, folders: Sequence[Path] = PLACES):
        self.recordings, self.seed = render(SOUNDS, fonts, count, seed, folders), seed
        self.counts = [len(row) for row in self.recordings]

    def clip(self, order: Sequence[int], seconds: float, number: int) -> np.ndarray:
        """Return a clip (samples,) of sounds one after the other, the same for a number."""
        scene = notes(order, self.counts, seconds, Random(f"{self.seed} {order} {number}"))
        return mixed(scene, self.recording, SAMPLE_RATE, seconds)

    def recording(self, note: Note) -> np.ndarray:
        return self.recordings[note.sound][note.recording]

    def every(self, sounds: Sequence[int], count: int, seconds: float = SECONDS) -> tuple[np.ndarray, Tensor]:
        """Return `count` clips of each sound (B, samples), and which they are (B,)."""
        rows = [(self.clip([sound], seconds, number), sound) for number in range(count) for sound in sounds]
        return np.stack([clip for clip, _ in rows]), torch.tensor([sound for _, sound in rows])


def vocoded(sound: np.ndarray, iterations: int = 32, batch: int = 32) -> np.ndarray:
    """Return sound (B, samples) as it comes back from its mel spectra by Griffin-Lim."""
    parts = torch.from_numpy(sound).split(batch)
    return torch.cat([MEL.griffin_lim(MEL(part), iterations) for part in parts]).numpy()


class Judge:
    """Says which of `known` sounds a clip is; it learns from clips (B, samples) and their sounds (B,)."""

    def __init__(
        self,
        hearing: Hearing,
        clips: np.ndarray,
        sounds: Tensor,
        penalty: float = 0.01,
        known: Sequence[int] = tuple(JUDGED),
    ):
        self.hearing, self.known = hearing, torch.tensor(known)
        features = hearing(clips)
        self.mean, self.spread = features.mean(0), features.std(0) + 1e-3
        columns = {sound: column for column, sound in enumerate(known)}
        wanted = torch.tensor([columns[int(sound)] for sound in sounds])
        seen = (features - self.mean) / self.spread
        self.weights = torch.zeros(seen.shape[1] + 1, len(known), requires_grad=True)
        optimizer = torch.optim.LBFGS([self.weights], max_iter=150, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(self.logits(seen), wanted) + penalty * self.weights[:-1].square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        self.weights = self.weights.detach()

    def logits(self, seen: Tensor) -> Tensor:
        return seen @ self.weights[:-1] + self.weights[-1]

    def of_features(self, features: Tensor) -> Tensor:
        """Return the sounds (B,) that features (B, windows, 512) have, all windows together."""
        scores = self.logits((features - self.mean) / self.spread).log_softmax(-1).mean(1)
        return self.known[scores.argmax(-1)]

    def __call__(self, sound: np.ndarray) -> Tensor:
        """Return the sound (B,) that is heard in each clip (B, samples)."""
        parts = windows(sound)
        features = self.hearing(parts.reshape(-1, parts.shape[-1]))
        return self.of_features(features.reshape(len(parts), -1, features.shape[-1]))
