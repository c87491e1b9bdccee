"""Features of sound by a network that others trained on sound effects: aisfx (Ma et al., ISMIR 2022; CC-BY-4.0)."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor, nn

from ...training.data.sounds.rendering import SAMPLE_RATE

RATE, N_FFT, HOP, BINS, FRAMES = 44100, 2048, 1024, 96, 100  # as the network was trained
SECONDS = 2.048
"""What is heard at a time; longer clips are heard part by part."""


def filters() -> Tensor:
    """Return triangles (N_FFT / 2 + 1, BINS) on the mel scale of HTK up to RATE / 2, each adding up to 1."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BINS + 2) / 2595) - 1)
    ramps = np.linspace(0, RATE / 2, N_FFT // 2 + 1)[:, None] - edges
    rising, falling = ramps[:, :-2] / np.diff(edges)[:-1], -ramps[:, 2:] / np.diff(edges)[1:]
    triangles = np.minimum(rising, falling).clip(0)
    return torch.from_numpy(triangles / triangles.sum(0)).float()


def windows(sound: np.ndarray) -> np.ndarray:
    """Cut sound (B, samples) into whole windows of SECONDS, (B, windows, samples)."""
    length = round(SECONDS * SAMPLE_RATE)
    count = sound.shape[-1] // length
    return sound[:, : count * length].reshape(len(sound), count, length)


class Hearing:
    """Sound (B, samples) at SAMPLE_RATE → features (B, 512). Raises ModuleNotFoundError without the package aisfx."""

    def __init__(self) -> None:
        if find_spec("aisfx") is None:
            raise ModuleNotFoundError("the judge of sounds hears with aisfx: pip install --no-deps aisfx==0.1.2")
        from aisfx.models import cnn2d

        kept = [np.dtype, np.dtypes.Int64DType, np.dtypes.Float64DType, np.dtypes.Float32DType]
        scalar = (np._core.multiarray.scalar, "numpy.core.multiarray.scalar")  # type: ignore[attr-defined]
        with torch.serialization.safe_globals([scalar, *kept]):
            file = Path(cnn2d.__file__).with_name("checkpoint.pth")
            weights, sets = torch.load(file, map_location="cpu", weights_only=True)
        whole = cnn2d.CrossNet(cnn2d.EmbeddingNet("max", 3, 1, 64), sets, "cpu")
        whole.load_state_dict(weights)
        self.network: nn.Module = whole.embedding_net.eval()
        self.filters = filters()

    @torch.inference_mode()
    def __call__(self, sound: np.ndarray, batch: int = 16) -> Tensor:
        """Return features (B, 512) of sound (B, samples), whose loudness does not matter."""
        rows = [self.network(self.seen(sound[i : i + batch])) for i in range(0, len(sound), batch)]
        return torch.cat(rows).float()

    def seen(self, sound: np.ndarray) -> Tensor:
        """Return spectra (B, FRAMES, BINS) as the network takes them."""
        finer = torch.from_numpy(resample_poly(sound, 441, 160, axis=-1).astype(np.float32))
        finer = finer / finer.abs().amax(1, keepdim=True).clamp(min=1e-6)
        window = torch.hann_window(N_FFT)
        spectrum = torch.stft(finer, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
        mel = spectrum.abs().square().transpose(1, 2) @ self.filters
        level = (10000 * mel + 1).log10() / 9.4578
        return nn.functional.pad(level, (0, 0, 0, max(0, FRAMES - level.shape[1])))[:, :FRAMES]
