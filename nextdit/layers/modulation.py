"""How time and text act on tokens: scales, gates, the final layer."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cpu_rows import by_rows

Norm = Callable[[Tensor], Tensor]


def plain_norm(x: Tensor) -> Tensor:
    """Divide tokens x (…, D) by their root mean square; a norm without weights."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-5)


def modulate(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Scale tokens (B, N, D) by 1 + scale (B, D), and add shift (B, D)."""
    x = x * (1 + scale.unsqueeze(1))
    return x if shift is None else x + shift.unsqueeze(1)


def norm_modulate(norm: Norm, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Normalise tokens x (B, N, D), then `modulate` them by scale and shift (B, D)."""
    return by_rows(lambda x: modulate(norm(x), scale, shift), x)


def gated_residual(x: Tensor, gate: Tensor, norm: Norm, h: Tensor) -> Tensor:
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
    """Tokens (B, N, dim) → (B, N, out): LayerNorm without affine, a scale or a shift and a scale, Linear."""

    def __init__(self, dim: int, time_dim: int, out: int, shifts: bool = False, *, operations, **factory):
        super().__init__()
        self.norm_final = operations.LayerNorm(dim, eps=1e-6, elementwise_affine=False, **factory)
        self.linear = operations.Linear(dim, out, **factory)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), operations.Linear(time_dim, (1 + shifts) * dim, **factory))
        self.shifts = shifts

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        modulation = self.adaLN_modulation(condition)
        shift, scale = modulation.chunk(2, dim=-1) if self.shifts else (None, modulation)
        return self.linear(modulate(self.norm_final(x), scale, shift))
