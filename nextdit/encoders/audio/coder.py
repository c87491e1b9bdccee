"""Sound to what a network of audio works on, and back: mel spectra, an autoencoder if there is one, a vocoder."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import AudioAutoencoder
from .mel import Mel

RANGE = (-5.0, 1.5)
"""What spectra of sound in [−1, 1] reach: FLOOR, and a full-scale tone."""
VOCODERS = {
    "num_mels": ("bins", "mel bins"),
    "hop": ("hop", "samples a frame"),
    "sampling_rate": ("sample_rate", "samples a second"),
    "fmin": ("low", "Hz at the lowest"),
    "fmax": ("high", "Hz at the highest"),
}
"""What a vocoder's settings and a Mel both say: the names there and here, and in words."""

Vocoder = Callable[[Tensor], Tensor]
"""vocoder(mel): spectra (B, bins, T) → sound (B, samples)."""


class SoundCoder(nn.Module):
    """Mono sound (B, 1, samples) to frames (B, channels, T) and back; without an autoencoder frames are spectra.

    Without a vocoder phases are found by Griffin-Lim. Raises ValueError if the parts do not fit together.
    """

    def __init__(self, mel: Mel, autoencoder: AudioAutoencoder | None = None, vocoder: nn.Module | None = None):
        super().__init__()
        self.mel, self.autoencoder, self.vocoder = mel, autoencoder, vocoder
        if autoencoder is not None and autoencoder.config.bins != mel.bins:
            raise ValueError(f"the autoencoder takes {autoencoder.config.bins} mel bins, expected {mel.bins}")
        check_vocoder(getattr(vocoder, "config", None), mel)

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return self.mel.hop * (1 if self.autoencoder is None else self.autoencoder.config.stride)

    @property
    def channels(self) -> int:
        return self.mel.bins if self.autoencoder is None else self.autoencoder.config.latent_channels

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.mel.sample_rate / self.hop

    def encode(self, sound: Tensor) -> Tensor:
        """Return frames (B, channels, T) of mono sound (B, 1, samples), filled up with silence to whole frames.

        Raises ValueError if there is no sound, or one with what is no number.
        """
        samples = sound.shape[-1]
        if not samples:
            raise ValueError("the audio is empty: it has no samples")
        if not sound.isfinite().all():
            raise ValueError("the audio has samples that are NaN or infinite: load another, or make it again")
        mel = self.mel(F.pad(sound[:, 0], (0, math.ceil(samples / self.hop) * self.hop - samples)))
        return mel if self.autoencoder is None else self.autoencoder.moments(mel)[0]

    def decode(self, frames: Tensor) -> Tensor:
        """Return mono sound (B, 1, T·hop) of frames (B, channels, T), of which there must be one.

        Raises ValueError without one, and on a wrong channel count.
        """
        if frames.ndim != 3 or frames.shape[1] != self.channels:
            raise ValueError(
                f"this audio VAE decodes (batch, {self.channels}, frames), got {tuple(frames.shape)}: use the VAE that "
                "belongs to the model"
            )
        if not frames.shape[2]:
            raise ValueError("the latent is empty: it has no frames")
        # a network of spectra may overshoot, and a tenfold number is another loudness altogether
        mel = frames.clamp(*RANGE) if self.autoencoder is None else self.autoencoder.decode(frames)
        sound = self.mel.griffin_lim(mel) if self.vocoder is None else self.vocoder(mel)
        return sound[..., : mel.shape[-1] * self.mel.hop].unsqueeze(1)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Do as `decode`, without keeping anything for training."""
        return self.decode(frames)


def check_vocoder(config: Any, mel: Mel) -> None:
    """Raise ValueError if a vocoder with these settings is for other spectra than `mel`'s."""
    for name, (here, words) in VOCODERS.items():
        theirs, ours = getattr(config, name, None), getattr(mel, here)
        if theirs is not None and theirs != ours:
            raise ValueError(
                f"the vocoder is for {theirs:g} {words}, but this model's spectra have {ours:g}: use the vocoder that "
                "belongs to the model, or griffin_lim"
            )
