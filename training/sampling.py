"""Draw pictures with a NextDiT: noise, an ODE solver, guidance."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nextdit import ContextDrop, NextDiT, RopeScaling
from ..nextdit.text import TextEncoder
from ..samplers import guide, integrate, times


def noise(seeds: Sequence[int], height: int, width: int, channels: int = 3) -> Tensor:
    """Return noise (B, C, H, W) in which row i depends on seeds[i] and the size only."""
    return torch.stack(
        [torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


@torch.inference_mode()
def sample(
    model: NextDiT,
    encoder: TextEncoder,
    prompts: Sequence[str],
    x: Tensor,
    *,
    steps: int = 20,
    method: str = "euler",
    schedule: str = "uniform",
    guidance: float = 1.0,
    rope: RopeScaling | None = None,
    drop: ContextDrop | None = None,
    **parameters: float,
) -> Tensor:
    """Integrate from noise x (B, C, H, W) to pictures of the prompts; `parameters` are the schedule's."""
    dtype, device = model.x_embedder.weight.dtype, model.x_embedder.weight.device
    guided = guidance != 1.0
    text, mask = encoder([*prompts, *([""] * len(prompts) if guided else [])])
    text, mask, x = text.to(device, dtype), mask.to(device).bool(), x.to(device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows = 2 if guided else 1
        v = model(x.repeat(rows, 1, 1, 1), t.expand(len(x)).repeat(rows), text, mask, rope=rope, drop=drop)
        return guide(*v.chunk(2), guidance) if guided else v

    return integrate(velocity, x, times(schedule, steps, **parameters).to(device), method)
