"""Rotary position embedding on several axes, and the methods that stretch it past the training size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BASE = 10000.0
DEFAULT = "time_aware_late"
METHODS = (
    "extrapolation",
    "interpolation",
    "ntk_aware",
    "frequency_aware",
    "time_aware",
    "time_aware_watershed",
    "time_aware_late",
)


def float64_device(device: torch.device | None) -> torch.device:
    """Return the device itself if it is known to compute in float64, as frequencies are, else the CPU.

    A table that the CPU makes is copied over, for which a GPU waits.
    """
    return device if device and device.type in ("cuda", "meta") else torch.device("cpu")


def exponents(head_dim: int, axes: int = 2, device: torch.device | None = None) -> Tensor:
    """Return the exponents e_i = 2·axes·i/head_dim of one axis, shape (head_dim / (2·axes),), float64.

    They are made on `device`, or on the CPU if that has no float64. Two axes is the released text-to-image layout
    (reference code), three the paper's equation 2.
    """
    if head_dim % (2 * axes):
        raise ValueError(f"head_dim {head_dim} is not divisible by {2 * axes}, as {axes}-D RoPE needs")
    counted = torch.arange(head_dim // (2 * axes), dtype=torch.float64, device=float64_device(device))
    return counted * (2 * axes / head_dim)


def scale_factor(grid: Sequence[int], train_tokens: int, per_axis: bool = False) -> float | tuple[float, ...]:
    """Return how many times longer than in training a grid of (rows, columns) tokens is.

    One number for both axes, √(rows·columns) / train_tokens (reference code), or one an axis (the paper's argument for
    decoupled axes; our definition). Below 1 counts as 1.
    """
    if per_axis:
        return tuple(max(1.0, n / train_tokens) for n in grid)
    return max(1.0, math.sqrt(math.prod(grid)) / train_tokens)


def axis_exponents(width: int, device: torch.device | None = None) -> Tensor:
    """Return the exponents e_i = 2i/width of an axis with `width` numbers of the head to itself, float64 (width / 2,).

    The layout of Lumina-Image-2.0 and Z-Image, whose axes have widths and a base of their own. They are made on
    `device`, or on the CPU if that has no float64.
    """
    return torch.arange(0, width, 2, dtype=torch.float64, device=float64_device(device)) / width


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE frequencies change when an image has more tokens per side than in training.

    `factor` is how many times longer than in training, one number for both axes or one per axis (row, column);
    below 1 it counts as 1. `train_tokens` is the tokens per side in training (1024 px → 64). `watershed` is the
    time below which `time_aware_watershed` interpolates, `time_aware_late` returns between `return_from` and
    `return_to`. `proportional` turns on proportional attention.
    Methods: paper section 2.3; `time_aware_watershed` and proportional attention: reference code; `time_aware_late`:
    our definition. Raises ValueError on an unknown method or values out of range.
    """

    method: str = DEFAULT
    factor: float | tuple[float, ...] = 1.0
    train_tokens: int = 64
    watershed: float = 0.3
    proportional: bool = False
    return_from: float = 0.8
    return_to: float = 0.9

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"unknown RoPE method {self.method!r}; known: {', '.join(METHODS)}")
        for factor in self.factor if isinstance(self.factor, tuple) else (self.factor,):
            if not (math.isfinite(factor) and factor > 0):
                raise ValueError(f"RoPE factor must be a positive finite number, got {self.factor!r}")
        if self.train_tokens < 7:
            raise ValueError(f"train_tokens must be at least 7 (above 2π), got {self.train_tokens}")
        if not 0.0 <= self.watershed <= 1.0:
            raise ValueError(f"watershed is a time between 0 and 1, got {self.watershed}")
        if not 0.0 <= self.return_from <= self.return_to <= 1.0:
            raise ValueError(
                "time_aware_late needs 0 <= return_from <= return_to <= 1, "
                f"got return_from {self.return_from} and return_to {self.return_to}"
            )

    def frequencies(self, head_dim: int, t: float | Tensor = 0.0, axes: int = 2, axis: int = 0) -> Tensor:
        """Return one axis's angular frequencies at time t, float32, shape (n,) or (B, n) for t of shape (B,).

        n is head_dim / (2·axes); t runs from 0 (noise) to 1 (data); `axis` matters only with a factor per axis.
        Computed on t's device.
        """
        device = t.device if isinstance(t, Tensor) else None
        return self.scale(exponents(head_dim, axes, device), head_dim, t, axis)

    def scale(self, e: Tensor, head_dim: int, t: float | Tensor = 0.0, axis: int = 0, base: float = BASE) -> Tensor:
        """Do what `frequencies` does for a layout with other exponents e (n,), float64, and another base."""
        t = torch.as_tensor(t, dtype=torch.float32)
        s = max(1.0, self.factor[axis] if isinstance(self.factor, tuple) else self.factor)
        ln_b, ln_s = math.log(base), math.log(s)

        def table(*log_theta: Tensor) -> Tensor:  # largest of the candidates, for every t
            theta = torch.stack(log_theta).amax(0).exp().to(t.device, torch.float32)
            return theta.expand(*t.shape, -1)

        if s == 1.0 or self.method == "extrapolation":
            return table(-e * ln_b)
        interpolated = -e * ln_b - ln_s
        if self.method == "interpolation":
            return table(interpolated)
        if self.method == "ntk_aware":
            return table(-e * (ln_b + ln_s / e[-1]))
        if self.method == "frequency_aware":
            training_wave = math.log(self.train_tokens / (2 * math.pi)) / ln_b
            return table(-e * (ln_b + ln_s / training_wave), interpolated)
        if self.method == "time_aware":
            x = (((head_dim - 1) * t + 1) / head_dim).unsqueeze(-1)
            e32 = e.float().to(t.device)  # logarithms: base·s^(1/x) overflows float32 near t = 0
            return torch.maximum(-e32 * (ln_b + ln_s / x), interpolated.float().to(t.device)).exp()
        if self.method == "time_aware_late":
            returned = self.returned(t).unsqueeze(-1)
            e32 = e.float().to(t.device)
            return (-e32 * ln_b - ln_s * (1 - returned * (1 - e32 / e32[-1]))).exp()
        early = (t < self.watershed).unsqueeze(-1)
        return torch.where(early, table(interpolated), table(-e * (ln_b + ln_s)))

    def returned(self, t: Tensor) -> Tensor:
        """Return how far `time_aware_late` has gone from interpolation (0) to NTK-aware (1) at times t, of t's shape.

        A smooth step from `return_from` to `return_to`. Frequencies are θ / s^w with w = 1 − returned·(1 − e/e_max);
        `return_from` = 1 is interpolation, `return_to` = 0 NTK-aware throughout (our definition).
        """
        if self.return_from == 1.0:
            return torch.zeros_like(t)
        passed = ((t - self.return_from) / max(self.return_to - self.return_from, 1e-6)).clamp(0.0, 1.0)
        return torch.where(t >= self.return_to, 1.0, passed.square() * (3 - 2 * passed))

    def temperature(self, tokens: int) -> float:
        """Return the factor on self-attention's logits, √(log N / log N_train), or 1 (reference code)."""
        return math.sqrt(math.log(tokens) / math.log(self.train_tokens**2)) if self.proportional else 1.0


PLAIN = RopeScaling("extrapolation")


def rotary_table(positions: Sequence[Tensor], thetas: Sequence[Tensor]) -> Tensor:
    """Return cos and sin of every token's angles, shape (2, B, H·W, head_dim / 2), float32.

    `positions` are the rows' (H,) and columns' (W,) positions, `thetas` each axis's frequencies (n,) or (B, n).
    Pairs alternate row, column, row, column … (reference code).
    """
    rows, cols = (
        pos.to(theta.device, torch.float32)[:, None] * theta.reshape(-1, 1, theta.shape[-1])  # (B, H|W, n)
        for pos, theta in zip(positions, thetas, strict=True)
    )
    batch, height, n = rows.shape
    width = cols.shape[1]
    grid = (batch, height, width, n)
    angles = torch.stack([rows[:, :, None].expand(grid), cols[:, None].expand(grid)], dim=-1)
    angles = angles.reshape(batch, height * width, 2 * n)  # (B, H, W, n, 2) → (B, N, head_dim / 2)
    return torch.stack([angles.cos(), angles.sin()])


def rotary_table_3d(positions: Sequence[Tensor], thetas: Sequence[Tensor]) -> Tensor:
    """Return cos and sin of every token's angles, shape (2, B, F·H·W, head_dim / 2), float32.

    `positions` are those of frames (F,), rows (H,) and columns (W,), `thetas` each axis's frequencies (n,) or (B, n).
    The pairs of each axis stand together: frame, row, column, a third of the head each (paper equation 2).
    """
    sizes = [len(pos) for pos in positions]
    batch = max(theta.reshape(-1, theta.shape[-1]).shape[0] for theta in thetas)
    parts = []
    for axis, (pos, theta) in enumerate(zip(positions, thetas, strict=True)):
        angles = pos.to(theta.device, torch.float32)[:, None] * theta.reshape(-1, 1, theta.shape[-1])  # (B, F|H|W, n)
        shape = [len(angles), 1, 1, 1, angles.shape[-1]]
        shape[1 + axis] = sizes[axis]
        parts.append(angles.reshape(shape).expand(batch, *sizes, -1))
    joined = torch.cat(parts, dim=-1).flatten(1, 3)  # (B, F, H, W, 3·n) → (B, F·H·W, head_dim / 2)
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
