"""SwiGLU."""

import torch.nn.functional as F
from torch import Tensor, nn


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
