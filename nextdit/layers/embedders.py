"""Numbers as features: times, azimuths and places."""

import math

import torch
from torch import Tensor, nn


def sinusoid(t: Tensor, width: int, max_period: float = 10000.0) -> Tensor:
    """Embed times (B,) as (B, width) float32, the cosine half first; t itself, not ×1000 (reference code)."""
    half = width // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedder(nn.Module):
    """Times (B,) → features (B, width): sinusoid and a two-layer SiLU MLP."""

    def __init__(self, frequencies: int, width: int, *, operations, **factory):
        super().__init__()
        self.frequencies = frequencies
        self.mlp = nn.Sequential(
            operations.Linear(frequencies, width, **factory),
            nn.SiLU(),
            operations.Linear(width, width, **factory),
        )

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        return self.mlp(sinusoid(t, self.frequencies).to(dtype))


class AzimuthEmbedder(nn.Module):
    """Azimuths (B,) in degrees → features (B, width): sine and cosine, a two-layer SiLU MLP (paper section 5.1)."""

    def __init__(self, width: int, *, operations, **factory):
        super().__init__()
        self.mlp = nn.Sequential(
            operations.Linear(2, width, **factory), nn.SiLU(), operations.Linear(width, width, **factory)
        )

    def forward(self, azimuth: Tensor, dtype: torch.dtype) -> Tensor:
        angles = torch.deg2rad(azimuth.float())
        return self.mlp(torch.stack([angles.sin(), angles.cos()], dim=-1).to(dtype))


class PlaceEmbedder(nn.Module):
    """Places (N,) between 0 and 1 → features (N, width): WAVES cosines, a two-layer SiLU MLP.

    Half waves fit into the length 0, 1, 2, … times, as in a discrete cosine transform: both ends are told apart, and
    what changes fast from place to place too.
    """

    WAVES = 16

    def __init__(self, width: int, *, operations, **factory):
        super().__init__()
        self.mlp = nn.Sequential(
            operations.Linear(self.WAVES, width, **factory), nn.SiLU(), operations.Linear(width, width, **factory)
        )

    def forward(self, places: Tensor, dtype: torch.dtype) -> Tensor:
        waves = torch.arange(self.WAVES, dtype=torch.float32, device=places.device)
        return self.mlp((math.pi * places.float()[:, None] * waves).cos().to(dtype))
