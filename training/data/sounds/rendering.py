"""Single sounds out of SoundFonts, by FluidSynth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from .sounds import Sound

SAMPLE_RATE = 16000
SECONDS = 2.56
"""How long a single sound is, with what rings on."""
PEAK = 0.8

PLACES = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"), Path("/usr/share/soundfonts"))


@dataclass(frozen=True)
class SoundFont:
    """A file, and whether it has General MIDI's programs and drums, and General Standard's effects."""

    file: str
    programs: bool = True
    effects: bool = False

    def has(self, sound: Sound) -> bool:
        return self.effects if sound.is_effect else self.programs

    def find(self, folders: Sequence[Path] = PLACES) -> Path:
        """Return its path. Raises FileNotFoundError if it is in none of the folders."""
        for folder in folders:
            if (folder / self.file).is_file():
                return folder / self.file
        raise FileNotFoundError(
            f"no {self.file} in {', '.join(map(str, folders))}: install the SoundFonts that demo/README.md names, or "
            "give the folder where they are"
        )


TRAINING_FONTS = (
    SoundFont("FluidR3_GM.sf2"),
    SoundFont("MuseScore_General_Lite.sf3"),
    SoundFont("FluidR3_GS.sf2", programs=False, effects=True),
)
"""What training hears, all under the MIT licence. The second shares many recordings with the first."""


class Font:
    """One SoundFont, ready to play. Raises ValueError if FluidSynth cannot read the file."""

    def __init__(self, file: Path):
        import fluidsynth  # here, since only who renders needs it

        self.synth = fluidsynth.Synth(samplerate=float(SAMPLE_RATE), gain=0.6)
        for effect in ("reverb", "chorus"):
            self.synth.setting(f"synth.{effect}.active", 0)
        self.number = self.synth.sfload(str(file))
        if self.number < 0:
            raise ValueError(f"{file} is no SoundFont that FluidSynth can read: install it again")

    def close(self) -> None:
        """Free the memory of the font."""
        self.synth.delete()

    def play(self, sound: Sound, chance: Random) -> np.ndarray:
        """Return one sound, SECONDS long with PEAK, float32, on a key of its own, as hard and long as chance has it.

        Raises ValueError if the font is silent there.
        """
        key = chance.choice(sound.keys)
        held = chance.uniform(*sound.hold)
        return self.note(sound, key, chance.randint(70, 124), held, SECONDS)

    def note(self, sound: Sound, key: int, velocity: int, held: float, seconds: float) -> np.ndarray:
        """Return a note (samples,) with PEAK, float32, of a key that is held so many of the seconds.

        Raises ValueError if the font is silent there.
        """
        channel, samples = (9 if sound.is_drum else 0), round(held * SAMPLE_RATE)
        self.synth.program_select(channel, self.number, sound.bank, sound.program)
        self.synth.noteon(channel, key, velocity)
        parts = [self.synth.get_samples(samples)]
        self.synth.noteoff(channel, key)
        parts += [self.synth.get_samples(round(seconds * SAMPLE_RATE) - samples)]
        self.synth.system_reset()
        played = np.concatenate(parts).reshape(-1, 2).mean(1).astype(np.float32) / 32768
        loudest = np.abs(played).max()
        if loudest < 1e-3:
            raise ValueError(f"the SoundFont has no {sound.name} on bank {sound.bank}, program {sound.program}")
        return played * (PEAK / loudest)


def render(
    sounds: Sequence[Sound], fonts: Sequence[SoundFont], count: int, seed: str, folders: Sequence[Path] = PLACES
) -> list[np.ndarray]:
    """Return `count` clips of each sound, (count, samples) float32, from those of the fonts that have it, in turn.

    The same for a seed. Raises ValueError if no font has a sound.
    """
    rows: list[list[np.ndarray]] = [[] for _ in sounds]
    for soundfont in fonts:
        font = Font(soundfont.find(folders))
        for row, sound in zip(rows, sounds, strict=True):
            having = [each for each in fonts if each.has(sound)]
            if soundfont in having:
                chance = Random(f"{seed} {soundfont.file} {sound.name}")
                row += [font.play(sound, chance) for _ in range(having.index(soundfont), count, len(having))]
        font.close()
    return [np.stack(row) for row in rows]
