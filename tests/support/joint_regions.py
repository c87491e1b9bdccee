"""Regional attention on one joint sequence, by brute force: a mask over everything for each text."""

import torch
from torch import Tensor


def masks_of(lengths: tuple[int, ...], shares: Tensor, has_global: bool, start: int, length: int) -> list:
    """Return for each text a mask (L, L), true where a query may look, and the share (B, L, 1) that it has of a row.

    shares (B, T, N) are what the image's tokens hear, which begin at `start`; a last mask is of what hears no text.
    """
    owner = torch.full((length,), -1)
    for i, stop in enumerate(torch.tensor(lengths).cumsum(0).tolist()):
        owner[stop - lengths[i] : stop] = i
    found = []
    for i in (*range(len(lengths)), -1):
        rows = torch.zeros(len(shares), length)
        rows[:, owner == i] = 1.0
        if i == -1:
            rows[:, start : start + shares.shape[2]] = 0.0
            if has_global:
                found[0][1][:, rows[0] > 0] = 1.0
                rows.zero_()
        else:
            rows[:, start : start + shares.shape[2]] = shares[:, i]
        keys = (owner == -1) | (owner == i)
        if rows.any():
            found.append((keys.expand(length, -1), rows[..., None]))
    return found


def attend_masked(q: Tensor, k: Tensor, v: Tensor, masks: list, more: Tensor | None = None) -> Tensor:
    """Attend (B, H, L, D) by a mask for each text, beside a model's own; return the sum by shares, (B, L, H·D)."""
    out = torch.zeros(len(q), q.shape[2], q.shape[1] * q.shape[3])
    for allowed, share in masks:
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        scores = scores if more is None else scores + more.unsqueeze(1)
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
        out += share * (weights @ v).transpose(1, 2).flatten(2)
    return out
