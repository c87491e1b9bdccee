"""True tunes of any SoundFonts, and the judge of instruments, trained on others than the generator's."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from random import Random

import numpy as np
import torch

from ...training.data.music.batches import RELEASE, scene
from ...training.data.music.captions import Piece
from ...training.data.music.instruments import INSTRUMENTS
from ...training.data.music.prepare import tones
from ...training.data.music.tunes import KEYS, TEMPOS
from ...training.data.sounds.rendering import PLACES, SAMPLE_RATE, SoundFont
from ...training.data.sounds.scenes import Note, mixed
from ..sounds.hearing import Hearing, windows
from ..sounds.judge import Judge, vocoded


def pieces(count: int, seed: str, held_out: bool = False) -> list[Piece]:
    """Return about `count` pieces, the same for a seed: instruments in turn, keys and tempos by chance."""
    chance, found = Random(seed), []
    every = [Piece(n, key, bpm) for n in range(len(INSTRUMENTS)) for key in KEYS for bpm in TEMPOS]
    for n in range(len(INSTRUMENTS)):
        mine = [piece for piece in every if piece.instrument == n and piece.is_held_out == held_out]
        found += chance.sample(mine, min(len(mine), -(-count // len(INSTRUMENTS))))
    return found


class Player:
    """Plays true tunes on SoundFonts, one after the other."""

    def __init__(self, fonts: Sequence[SoundFont], seed: str, folders: Sequence[Path] = PLACES):
        self.fonts, self.seed, self.folders = fonts, seed, folders

    @cached_property
    def recordings(self) -> np.ndarray:
        """All tones, (instruments, fonts · pitches, samples)."""
        return np.concatenate([tones(font, self.folders) for font in self.fonts], axis=1)

    def play(self, piece: Piece, seconds: float, number: int) -> np.ndarray:
        """Return a tune (samples,), the same for a number."""
        notes = scene(piece, number % len(self.fonts), seconds, Random(f"{self.seed} {piece} {number}"))
        return mixed(notes, self.tone, SAMPLE_RATE, seconds, RELEASE)

    def tone(self, note: Note) -> np.ndarray:
        return self.recordings[note.sound, note.recording]

    def every(self, wanted: Sequence[Piece], seconds: float) -> np.ndarray:
        """Return a tune of each piece, (B, samples)."""
        return np.stack([self.play(piece, seconds, number) for number, piece in enumerate(wanted)])


def instrument_judge(player: Player, count: int, seconds: float) -> Judge:
    """Return a judge that learned from `count` tunes, as they are and as the vocoder makes them."""
    wanted = pieces(count, "judge")
    sound = player.every(wanted, seconds)
    parts = [windows(x) for x in (sound, vocoded(sound))]
    which = torch.tensor([piece.instrument for piece in wanted]).repeat_interleave(parts[0].shape[1]).repeat(2)
    clips = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    return Judge(Hearing(), clips, which, known=range(len(INSTRUMENTS)))
