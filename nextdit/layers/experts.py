"""A mixture of experts: several feed-forwards, of which two do the work."""

import torch
from torch import Tensor, nn

from .feed_forward import FeedForward

CHOSEN = 2
"""How many experts work on a token (reference code)."""


class Experts(nn.Module):
    """Feed-forwards of which a gate chooses two, their outputs weighted by a softmax over the two (reference code)."""

    def __init__(self, width: int, count: int, dim: int, hidden: int, *, operations, **factory):
        super().__init__()
        made = {"operations": operations, **factory}
        self.experts = nn.ModuleList(FeedForward(dim, hidden, **made) for _ in range(count))
        self.gate = operations.Linear(width, count, bias=False, **factory)

    def forward(self, x: Tensor, choosing: Tensor) -> Tensor:
        """Map tokens x (B, N, dim); choosing (B, N, width), or (B, 1, width) for a choice by sample."""
        groups = x.unflatten(1, (choosing.shape[1], -1)).flatten(0, 1)  # of tokens with the same experts
        logits, chosen = self.gate(choosing).flatten(0, 1).topk(min(CHOSEN, len(self.experts)))
        weights = logits.float().softmax(dim=-1).to(x.dtype)
        out = torch.zeros_like(groups)
        for number, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == number)
            if len(rows):
                out = out.index_add(0, rows, weights[rows, place, None, None] * expert(groups[rows]))
        return out.view_as(x)
