"""The tables of rotations that core's position embeddings make, taken apart by axis and put together again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """How a table lays out the rotations of tokens.

    `tokens` is the dimension on which tokens stand, `heads` that of size 1. `apart` returns the axes' rotation matrices
    (…, width / 2, 2, 2) for their widths, `joined` makes a table of them; the two undo each other to the bit.
    """

    tokens: int
    heads: int
    apart: Callable[[Tensor, Sequence[int]], list[Tensor]]
    joined: Callable[[Sequence[Tensor]], Tensor]

    def turned(self, table: Tensor, at: slice, ids: Tensor, axes: dict[int, Tensor], widths: Sequence[int]) -> Tensor:
        """Return a table whose tokens `at` a place turn, on some axes, by other frequencies (n,) or (B, n).

        ids (B, N, axes) are the positions that the table is of.
        """
        count = at.stop - at.start
        parts = self.apart(table.narrow(self.tokens, at.start, count), widths)
        for axis, theta in axes.items():
            parts[axis] = rotations(ids[:, at, axis], theta).unsqueeze(self.heads).to(table.dtype)
        batch = max(part.shape[0] for part in parts)
        scaled = self.joined([spread(part, batch) for part in parts])
        after = table.shape[self.tokens] - at.stop
        around = table.narrow(self.tokens, 0, at.start), table.narrow(self.tokens, at.stop, after)
        return torch.cat([spread(around[0], batch), scaled, spread(around[1], batch)], dim=self.tokens)


def spread(table: Tensor, batch: int) -> Tensor:
    """Return a table of at least `batch` rows, the same for each where it has one."""
    return table.expand(batch, *table.shape[1:]) if table.shape[0] < batch else table


def rotations(positions: Tensor, theta: Tensor) -> Tensor:
    """Return the rotation matrices of positions (B, N) turning by theta (n,) or (B, n), shape (B, N, n, 2, 2)."""
    angles = positions.float()[..., None] * theta.reshape(-1, 1, theta.shape[-1])  # (B, N, n)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def _split(table: Tensor, widths: Sequence[int]) -> list[Tensor]:
    return list(table.split([width // 2 for width in widths], dim=-3))


def _cat(axes: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(axes), dim=-3)


def _split_halves(table: Tensor, widths: Sequence[int]) -> list[Tensor]:
    (top, bottom), even = table.unbind(-2), slice(None, None, 2)
    cos = torch.cat([top[..., even, 0], bottom[..., even, 1]], dim=-1)
    sin = torch.cat([-top[..., even, 1], bottom[..., even, 0]], dim=-1)
    return _split(torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2)), widths)


def _join_halves(axes: Sequence[Tensor]) -> Tensor:
    turned = _cat(axes)
    (cos, low_cos), (sin, low_sin) = turned[..., 0, 0].chunk(2, dim=-1), turned[..., 1, 0].chunk(2, dim=-1)
    entries = torch.stack([cos, -sin, low_sin, low_cos], dim=-1).repeat_interleave(2, dim=-2)
    return entries.unflatten(-1, (2, 2))


PAIRS = Table(2, 1, _split, _cat)
"""(B, 1, N, head_dim / 2, 2, 2): neighbours turn together."""
HEADS_LAST = Table(1, 2, _split, _cat)
"""(B, N, 1, head_dim / 2, 2, 2): the same, heads after tokens."""
SPLIT_HALVES = Table(1, 2, _split_halves, _join_halves)
"""(B, N, 1, head_dim / 2, 2, 2), ERNIE-Image's: number j turns with j + head_dim / 2; each frequency stands twice."""
