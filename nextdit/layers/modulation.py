"""How time and text act on tokens: scales, gates, the final layer."""

import torch
from torch import Tensor, nn

from .cpu_rows import by_rows


def modulate(x: Tensor, scale: Tensor) -> Tensor:
    """Scale tokens (B, N, D) by 1 + scale (B, D)."""
    return x * (1 + scale.unsqueeze(1))


def norm_modulate(norm: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """Normalise tokens x (B, N, D), then `modulate` them by scale (B, D)."""
    return by_rows(lambda x: modulate(norm(x), scale), x)


def gated_residual(x: Tensor, gate: Tensor, norm: nn.Module, h: Tensor) -> Tensor:
    """Add to x (B, N, D) what a sub-layer made, h (B, N, D), normalised and times tanh(gate) (B, D)."""
    gate = gate.tanh().unsqueeze(1)
    return by_rows(lambda x, h: torch.addcmul(x, gate, norm(h)), x, h)


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
