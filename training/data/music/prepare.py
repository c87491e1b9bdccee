"""Stage 1 of music, `python -m lumina_next.training.data.music.prepare`: mel spectra of single tones, in one file.

Plays every key of every instrument of `instruments.py` on the SoundFonts of `sounds.rendering.TRAINING_FONTS`. Every
run with the same FluidSynth makes the same.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..emoji.prepare import default_cache
from ..sounds.prepare import MEL, to_bytes
from ..sounds.rendering import PLACES, TRAINING_FONTS, Font, SoundFont
from .instruments import INSTRUMENTS, Instrument
from .tunes import PITCHES, REACH

HELD, SECONDS = 2.15, 2.304
"""How long a key is held, and how long what is kept of a tone is."""
VELOCITY = 100
FONTS = tuple(font for font in TRAINING_FONTS if font.programs)


@dataclass(frozen=True)
class Tones:
    """Spectra of single tones: bytes (instruments, fonts · PITCHES, bins, frames)."""

    spectra: np.ndarray
    names: tuple[str, ...]

    @property
    def fonts(self) -> int:
        return self.spectra.shape[1] // PITCHES


def file_of(cache: Path) -> Path:
    """Return where the data lie."""
    return cache / "music.npz"


def load(cache: Path) -> Tones:
    """Return the data. Raises FileNotFoundError if there are none, ValueError if they are of other instruments."""
    file, command = file_of(cache), f"python -m lumina_next.training.data.music.prepare --cache {cache}"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: {command}")
    with np.load(file) as packed:
        found = Tones(packed["spectra"], tuple(packed["names"].tolist()))
    if found.names != tuple(instrument.name for instrument in INSTRUMENTS) or found.spectra.shape[1] % PITCHES:
        raise ValueError(f"{file} is of other instruments than this version knows: {command}")
    return found


def play(font: Font, instrument: Instrument, pitch: int) -> np.ndarray:
    """Return a tone (samples,) as tunes have them."""
    return font.note(instrument.sound, pitch, VELOCITY, HELD, SECONDS)


def tones(soundfont: SoundFont, folders: Sequence[Path] = PLACES) -> np.ndarray:
    """Return all tones of a font, (instruments, PITCHES, samples) float32."""
    font = Font(soundfont.find(folders))
    rows = [
        [play(font, instrument, instrument.low - REACH[0] + n) for n in range(PITCHES)] for instrument in INSTRUMENTS
    ]
    font.close()
    return np.array(rows, np.float32)


def prepare(cache: Path, folders: Sequence[Path] = PLACES) -> None:
    """Write the tones of all instruments and fonts into `cache`."""
    played = np.concatenate([tones(font, folders) for font in FONTS], axis=1)
    spectra = np.stack([to_bytes(MEL(torch.from_numpy(row))) for row in played])
    cache.mkdir(parents=True, exist_ok=True)
    names = np.array([instrument.name for instrument in INSTRUMENTS])
    np.savez_compressed(file_of(cache), spectra=spectra, names=names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder to write to")
    parser.add_argument("--fonts", type=Path, nargs="+", default=PLACES, help="folders of the SoundFonts")
    options = parser.parse_args()
    prepare(options.cache, options.fonts)


if __name__ == "__main__":
    main()
