"""Muon for many small matrices (Jordan et al. 2024): those of a shape at once."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SHARE = 0.2
"""Root mean square of an update at rate 1, about that of AdamW's (Liu et al. 2025)."""


class BatchedMuon(torch.optim.Muon):
    """torch.optim.Muon with `match_rms_adamw`, to rounding, in a tenth of its kernels."""

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0):
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for same in shapes.values():
                self.move(same, group)

    def move(self, same: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices (rows, columns) of one shape."""
        for p in same:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta: list[Tensor] = [self.state[p]["momentum_buffer"] for p in same]
        gradients: list[Tensor] = [p.grad for p in same if p.grad is not None]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = torch.stack(gradients).lerp(torch.stack(momenta), group["momentum"])  # Nesterov's
        updates = orthogonal(updates, group["ns_coefficients"], group["ns_steps"], group["eps"]).to(same[0].dtype)
        torch._foreach_mul_(same, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(same, list(updates), alpha=-group["lr"] * SHARE * max(same[0].shape) ** 0.5)


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Return about the nearest orthogonal matrices to (B, rows, columns), in bfloat16, by Newton and Schulz."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    a, b, c = coefficients
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
