"""Stage 1 of sounds, `python -m lumina_next.training.data.sounds.prepare`: mel spectra of single sounds, in one file.

Plays every sound of `sounds.py` on the SoundFonts of `rendering.TRAINING_FONTS`. Every run with the same FluidSynth
makes the same.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ....nextdit.encoders.audio.mel import Mel
from ..emoji.prepare import default_cache
from .rendering import PLACES, SAMPLE_RATE, TRAINING_FONTS, render
from .sounds import SOUNDS

MEL = Mel(sample_rate=SAMPLE_RATE)
LOWEST, STEP = -5.0, 7.0 / 255
"""Spectra are kept as bytes: LOWEST + STEP · byte, log10 of magnitudes; half a step is a quarter of a decibel."""


@dataclass(frozen=True)
class Recordings:
    """Spectra of single sounds: bytes (sounds, recordings, bins, frames)."""

    spectra: np.ndarray
    names: tuple[str, ...]

    @property
    def counts(self) -> list[int]:
        """How many recordings each sound has."""
        return [self.spectra.shape[1]] * len(self.spectra)


def to_bytes(mel: torch.Tensor) -> np.ndarray:
    """Return spectra as bytes."""
    return ((mel - LOWEST) / STEP).round().clamp(0, 255).to(torch.uint8).numpy()


def from_bytes(spectra: np.ndarray) -> np.ndarray:
    """Undo `to_bytes`, within half a STEP."""
    return LOWEST + STEP * spectra.astype(np.float32)


def file_of(cache: Path) -> Path:
    """Return where the data lie."""
    return cache / "sounds.npz"


def load(cache: Path) -> Recordings:
    """Return the data. Raises FileNotFoundError if there are none, ValueError if they are of other sounds."""
    file, command = file_of(cache), f"python -m lumina_next.training.data.sounds.prepare --cache {cache}"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: {command}")
    with np.load(file) as packed:
        found = Recordings(packed["spectra"], tuple(packed["names"].tolist()))
    if found.names != tuple(sound.name for sound in SOUNDS):
        raise ValueError(f"{file} is of other sounds than this version knows: {command}")
    return found


def prepare(cache: Path, count: int, folders: Sequence[Path] = PLACES) -> None:
    """Write `count` recordings of each sound into `cache`."""
    played = render(SOUNDS, TRAINING_FONTS, count, "training", folders)
    spectra = np.stack([to_bytes(MEL(torch.from_numpy(clips))) for clips in played])
    cache.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file_of(cache), spectra=spectra, names=np.array([sound.name for sound in SOUNDS]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, default=default_cache(), help="folder to write to")
    add("--count", type=int, default=64, help="recordings of each sound")
    add("--fonts", type=Path, nargs="+", default=PLACES, help="folders of the SoundFonts")
    options = parser.parse_args()
    prepare(options.cache, options.count, options.fonts)


if __name__ == "__main__":
    main()
