"""Clips as mel spectra, many at once, put together from spectra of single notes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .prepare import LOWEST, MEL, from_bytes
from .scenes import FADE, Note


@dataclass(frozen=True)
class Score:
    """What `clips` clips of `frames` frames have: a column (N,) of each number of a note, and in which clip it is."""

    clips: int
    frames: int
    clip: np.ndarray
    sound: np.ndarray
    recording: np.ndarray
    begins: np.ndarray
    gain: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, scenes: Sequence[Sequence[Note]], frames: int) -> "Score":
        """Return the score of clips, each with its notes."""
        rows = [
            (clip, note.sound, note.recording, note.begins, note.gain, note.ends)
            for clip, scene in enumerate(scenes)
            for note in scene
        ]
        clip, sound, recording, *numbers = zip(*rows, strict=True)
        whole = (np.array(column, np.int64) for column in (clip, sound, recording))
        return cls(len(scenes), frames, *whole, *(np.array(column, np.float32) for column in numbers))


class Mixer:
    """Plays scores with recordings, bytes (sounds, recordings, bins, T), on a device; `fade` seconds end a note."""

    def __init__(self, spectra: np.ndarray, device: torch.device | str = "cpu", fade: float = FADE):
        self.device, self.fade = torch.device(device), fade
        self.recordings = torch.from_numpy(spectra).to(self.device).transpose(2, 3).contiguous()
        self.powers = torch.from_numpy(100.0 ** from_bytes(np.arange(256))).float().to(self.device)

    def __call__(self, score: Score) -> Tensor:
        """Return the spectra (clips, bins, frames): powers of notes add up, as those of unrelated sounds do."""
        clip, sound, recording, begins, gain, ends = (
            torch.from_numpy(column).to(self.device, non_blocking=True)
            for column in (score.clip, score.sound, score.recording, score.begins, score.gain, score.ends)
        )
        played = self.powers[self.recordings[sound, recording].int()]  # (N, T, bins)
        length, bins = played.shape[1:]
        time = torch.arange(length, device=self.device)
        left = ((ends - begins) * MEL.frame_rate)[:, None] - time
        gains = gain[:, None] * (left / (self.fade * MEL.frame_rate) + 1).clamp(0, 1)
        row = score.frames + length  # room for what rings on behind the end
        power = torch.full((score.clips * row, bins), 100.0**LOWEST, device=self.device)
        first = clip * row + (begins * MEL.frame_rate).round().long()
        power.index_add_(0, (first[:, None] + time).flatten(), (played * gains.square()[..., None]).flatten(0, 1))
        return 0.5 * power.unflatten(0, (score.clips, row))[:, : score.frames].log10().transpose(1, 2)
