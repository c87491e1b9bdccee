"""Learning-rate schedule, optimizers and the moving average of weights."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LAYERS = ("layers.", "vit.blocks.")  # ours, and those of a baseline


@dataclass(frozen=True)
class Warmup:
    """Learning-rate factor: a linear warm-up in steps, constant, then linear to zero over the last `cooldown` part."""

    steps: int
    cooldown: float = 0.4

    def __call__(self, step: int, spent: float) -> float:
        """Return the factor at a step, `spent` (0 to 1) of the planned training being over."""
        return min(1.0, (step + 1) / self.steps) * min(1.0, max(0.0, 1.0 - spent) / self.cooldown)


def optimizers(model: nn.Module, rate: float, muon: float = 0.0, decay: float = 0.0) -> list[torch.optim.Optimizer]:
    """Return AdamW at `rate` for all, or Muon at rate `muon` for the matrices of the layers and AdamW for the rest.

    `decay` is the matrices' weight decay.
    Muon (Jordan et al. 2024) takes PyTorch ≥ 2.9; raises RuntimeError on older ones.
    """
    matrices = [p for name, p in model.named_parameters() if muon and name.startswith(LAYERS) and p.ndim == 2]
    taken = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
    groups = [{"params": [p for p in rest if p.ndim > 1], "weight_decay": decay}]
    groups += [{"params": [p for p in rest if p.ndim < 2]}]
    groups = groups if decay else [{"params": rest}]  # one, as in the states of runs without
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)]
    if matrices:
        if not hasattr(torch.optim, "Muon"):
            raise RuntimeError(f"Muon needs PyTorch 2.9 or later, this is {torch.__version__}: choose adamw")
        from .muon import BatchedMuon

        made.append(BatchedMuon(matrices, lr=muon, weight_decay=decay))
    return made


@torch.no_grad()
def step_partly(optimizers: Iterable[torch.optim.Optimizer], parameters: list[Tensor], part: Tensor) -> None:
    """Let optimizers step, and keep a part () of the way: what AdamW and Muon do at that part of their rates."""
    before = [p.detach().clone() for p in parameters]
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    torch._foreach_sub_(parameters, before)
    torch._foreach_mul_(parameters, part)
    torch._foreach_add_(parameters, before)


class MovingAverage:
    """Exponential moving average of a model's parameters, float32, faster at the start."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.steps = decay, 0
        self.values = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        """Move towards named parameters by 1 − min(decay, (1 + n) / (10 + n)) at update n."""
        self.move(parameters, self.counted())

    def counted(self) -> float:
        """Count an update, and return which part of the way it goes."""
        self.steps += 1
        return 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))

    @torch.no_grad()
    def move(self, parameters: Iterable[tuple[str, Tensor]], part: float | Tensor) -> None:
        """Move towards named parameters by a part of the way."""
        for name, p in parameters:
            self.values[name].lerp_(p.detach(), part)
