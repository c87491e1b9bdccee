"""Rotary position embedding on any number of axes: exponents, tables of angles, rotation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BASE = 10000.0


def float64_device(device: torch.device | None) -> torch.device:
    """Return the device itself if it is known to compute in float64, as frequencies are, else the CPU.

    A table that the CPU makes is copied over, for which a GPU waits.
    """
    return device if device and device.type in ("cuda", "meta") else torch.device("cpu")


@dataclass(frozen=True)
class Axes:
    """How the numbers of a head are shared out among the axes of positions.

    `widths` are the numbers that each axis has to itself, `base` that of the frequencies. Pairs of numbers stand
    together axis by axis (paper equation 2, and core's Lumina-Image-2.0 and Z-Image), or, with `interleaved`, alternate
    row, column, row, column … (the released text-to-image models; reference code). On a single axis all tokens stand
    in one line, of which `ends` end each row of patches (Flag-DiT), or which is `of_time` (audio) and as long as it is.
    With `overlaid` the first axis has no pairs of its own: its angles are added to those of the last pairs, which turn
    slowest (our definition, for frames of models that know two axes). Raises ValueError on widths that cannot be.
    """

    widths: tuple[int, ...]
    base: float = BASE
    interleaved: bool = False
    ends: int = 0
    of_time: bool = False
    overlaid: bool = False

    def __post_init__(self):
        if not self.widths or any(width < 2 or width % 2 for width in self.widths):
            raise ValueError(f"the axes of RoPE need even widths of at least 2, got {self.widths}")
        if self.interleaved and len(set(self.own)) > 1:
            raise ValueError(f"interleaved axes need equal widths, got {self.own}")
        if self.overlaid and self.widths[0] > sum(self.own):
            raise ValueError(f"an overlaid axis is at most as wide as the others together, got {self.widths}")

    @classmethod
    def shared(cls, head_dim: int, count: int, interleaved: bool = False) -> "Axes":
        """Return `count` axes with an equal part of a head each. Raises ValueError if it cannot be divided so."""
        if head_dim % (2 * count):
            raise ValueError(f"head_dim {head_dim} is not divisible by {2 * count}, as {count}-D RoPE needs")
        return cls((head_dim // count,) * count, interleaved=interleaved)

    @property
    def own(self) -> tuple[int, ...]:
        """The widths of the axes that have pairs to themselves."""
        return self.widths[self.overlaid :]

    @property
    def head_dim(self) -> int:
        return sum(self.own)

    @property
    def in_line(self) -> bool:
        return len(self.widths) == 1

    def tokens(self, grid: tuple[int, int]) -> int:
        """Return how many tokens a picture on a grid of (rows, columns) patches has."""
        return grid[0] * (grid[1] + self.ends)

    def trained(self, train_tokens: int) -> int:
        """Return how many tokens a sample in training had, of `train_tokens` along a side or along time."""
        return train_tokens if self.of_time else self.tokens((train_tokens, train_tokens))

    def exponents(self, axis: int = 0, device: torch.device | None = None) -> Tensor:
        """Return the exponents e_i = 2i/width of an axis, (width / 2,) float64: its frequencies are base^−e.

        They are made on `device`, or on the CPU if that has no float64.
        """
        width = self.widths[axis]
        return torch.arange(0, width, 2, dtype=torch.float64, device=float64_device(device)) / width

    def table(self, positions: Sequence[Tensor], thetas: Sequence[Tensor]) -> Tensor:
        """Return cos and sin of every token's angles, (2, B, N, head_dim / 2) float32, N = all combinations.

        `positions` are those along each axis (n,), `thetas` each axis's frequencies (width / 2,) or (B, width / 2).
        """
        sizes = [len(pos) for pos in positions]
        batch = max(theta.shape[0] if theta.ndim > 1 else 1 for theta in thetas)
        parts = []
        for axis, (pos, theta) in enumerate(zip(positions, thetas, strict=True)):
            angles = pos.to(theta.device, torch.float32)[:, None] * theta.reshape(-1, 1, theta.shape[-1])  # (B, n, w/2)
            shape = [1] * len(sizes)
            shape[axis] = sizes[axis]
            parts.append(angles.reshape(len(angles), *shape, -1).expand(batch, *sizes, -1))
        own = parts[self.overlaid :]
        joined = torch.stack(own, dim=-1).flatten(-2) if self.interleaved else torch.cat(own, dim=-1)
        if self.overlaid:
            joined = joined + F.pad(parts[0], (joined.shape[-1] - parts[0].shape[-1], 0))
        joined = joined.flatten(1, -2)  # (B, n1, n2, …, head_dim / 2) → (B, N, head_dim / 2)
        return torch.stack([joined.cos(), joined.sin()])


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn the neighbouring pairs of x (B, heads, N, head_dim) by the table's angles, in float32."""
    cos, sin = table.unsqueeze(2)  # (B, 1, N, head_dim / 2)
    if x.device.type in ("cpu", "cuda") and not torch.compiler.is_compiling():
        # one product of complex numbers instead of six operations; other backends and inductor do not have it
        turned = torch.view_as_complex(x.float().unflatten(-1, (-1, 2))) * torch.complex(cos, sin)
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)
