"""The small parts of a Next-DiT: time and azimuth embedding, feed-forward, modulation, final layer."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def modulate(x: Tensor, scale: Tensor) -> Tensor:
    """Scale tokens (B, N, D) by 1 + scale (B, D)."""
    return x * (1 + scale.unsqueeze(1))


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


class FeedForward(nn.Module):
    """SwiGLU without bias: w2(SiLU(w1 x) · w3 x)."""

    def __init__(self, dim: int, hidden: int, *, operations, **factory):
        super().__init__()
        self.w1 = operations.Linear(dim, hidden, bias=False, **factory)
        self.w2 = operations.Linear(hidden, dim, bias=False, **factory)
        self.w3 = operations.Linear(dim, hidden, bias=False, **factory)

    def forward(self, x: Tensor) -> Tensor:
        # in place: these are the largest tensors of a step, and new memory costs more than the arithmetic
        return self.w2(F.silu(self.w1(x), inplace=True).mul_(self.w3(x)))


class HeadGate(nn.Module):
    """Add head h of one (B, heads, N, D), times tanh(weight[h]), to another; zero, that is shut, before training.

    The numbers are the weight of a norm from `operations`, whose output for ones is that weight: so they are cast,
    patched and offloaded as the weights of layers are. ComfyUI leaves bare parameters out of all three.
    """

    def __init__(self, heads: int, *, operations, **factory):
        super().__init__()
        self.heads = heads
        self.norm = operations.RMSNorm(heads, eps=0.0, **factory)
        nn.init.zeros_(self.norm.weight)

    def forward(self, out: Tensor, gated: Tensor) -> Tensor:
        return torch.addcmul(out, gated, self.norm(out.new_ones(self.heads)).tanh()[:, None, None])


class FinalLayer(nn.Module):
    """Tokens (B, N, dim) → (B, N, out): LayerNorm without affine, one modulation, Linear."""

    def __init__(self, dim: int, time_dim: int, out: int, *, operations, **factory):
        super().__init__()
        self.norm_final = operations.LayerNorm(dim, eps=1e-6, elementwise_affine=False, **factory)
        self.linear = operations.Linear(dim, out, **factory)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), operations.Linear(time_dim, dim, **factory))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.linear(modulate(self.norm_final(x), self.adaLN_modulation(condition)))
