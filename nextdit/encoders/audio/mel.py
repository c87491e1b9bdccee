"""Mel spectra of sound, as the released audio models see them, and sound from them without a network."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-5
"""The least energy of a bin: silence is its logarithm, −5."""


@dataclass(frozen=True)
class Mel:
    """A way to make mel spectra; the defaults are Make-An-Audio 2's (reference code), from which the vocoder starts.

    `bins` triangles on Slaney's scale, each of the same area, from `low` to `high` Hz; spectra are log10 of magnitudes,
    at least FLOOR. Sound is mono, (B, samples) in [−1, 1] at `sample_rate`.
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop: int = 256
    bins: int = 80
    low: float = 0.0
    high: float = 8000.0

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    @cached_property
    def filters(self) -> Tensor:
        """The triangles, (bins, n_fft / 2 + 1)."""
        edges = torch.linspace(mel_of(self.low), mel_of(self.high), self.bins + 2, dtype=torch.float64)
        edges = hertz_of(edges)
        widths = edges.diff()
        ramps = edges[:, None] - torch.linspace(0, self.sample_rate / 2, self.n_fft // 2 + 1, dtype=torch.float64)
        rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
        triangles = torch.minimum(rising, falling).clamp(min=0.0)
        return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()

    def frames(self, samples: int) -> int:
        """Return the frames of so many samples."""
        return samples // self.hop

    def __call__(self, sound: Tensor) -> Tensor:
        """Return spectra (B, bins, samples / hop) of sound (B, samples); less than a frame gives none.

        In float32, or in float64 if the sound is.
        """
        side = (self.n_fft - self.hop) // 2
        if sound.shape[-1] <= side:  # too short to be mirrored
            sound = F.pad(sound, (0, side + 1 - sound.shape[-1]))
        sound = sound if sound.dtype == torch.float64 else sound.float()
        sound = F.pad(sound.clamp(-1.0, 1.0).unsqueeze(1), (side, side), mode="reflect").squeeze(1)
        window = torch.hann_window(self.n_fft, device=sound.device, dtype=sound.dtype)
        parts = torch.view_as_real(
            torch.stft(sound, self.n_fft, self.hop, window=window, center=False, return_complex=True)
        )
        magnitudes = (parts.square().sum(-1) + 1e-9).sqrt()
        return (self.filters.to(sound) @ magnitudes).clamp(min=FLOOR).log10()

    def magnitudes(self, mel: Tensor, rounds: int = 60) -> Tensor:
        """Return magnitudes (B, n_fft / 2 + 1, T) whose spectra are nearly `mel` (B, bins, T), none negative.

        Multiplicative updates of non-negative least squares (Lee and Seung, 2001).
        """
        wanted, filters = 10.0 ** mel.float(), self.filters.to(mel.device)
        found = filters.T @ (wanted / filters.sum(1)[:, None].clamp(min=1e-8)) + 1e-6
        aim = filters.T @ wanted
        for _ in range(rounds):
            found = found * aim / (filters.T @ (filters @ found) + 1e-9)
        return found

    def griffin_lim(self, mel: Tensor, iterations: int = 32, momentum: float = 0.99, seed: int = 0) -> Tensor:
        """Return sound (B, T·hop) of spectra (B, bins, T), with phases found by turns (Griffin and Lim, 1984).

        `momentum` is that of its fast version (Perraudin et al., 2013). The same phases to begin with for a `seed`.
        """
        # one more on either side, and never fewer than reach across the window's own mirrored ends
        magnitudes = F.pad(self.magnitudes(mel), (1, max(1, 3 - mel.shape[-1])), mode="replicate")
        window = torch.hann_window(self.n_fft, device=mel.device)
        generator = torch.Generator().manual_seed(seed)
        turns = torch.rand(magnitudes.shape, generator=generator).to(mel.device) * (2 * math.pi)
        phases, before = torch.polar(torch.ones_like(turns), turns), torch.zeros((), device=mel.device)

        def sound_of(spectrum: Tensor) -> Tensor:
            return torch.istft(spectrum, self.n_fft, self.hop, window=window)

        for _ in range(iterations):
            now = torch.stft(sound_of(magnitudes * phases), self.n_fft, self.hop, window=window, return_complex=True)
            ahead = now + momentum * (now - before)
            phases, before = ahead / ahead.abs().clamp(min=1e-9), now
        # frames are in the middle of their hops here, at their ends in istft, and the first is one too many
        start = self.hop // 2
        return sound_of(magnitudes * phases)[..., start : start + mel.shape[-1] * self.hop].clamp(-1.0, 1.0)


def mel_of(hertz: float) -> float:
    """Return a frequency on Slaney's scale: linear up to 1000 Hz, then 27 steps for a factor of 6.4."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def hertz_of(mels: Tensor) -> Tensor:
    """Undo `mel_of`."""
    return torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * (math.log(6.4) / 27)))
