"""How a flow is followed from noise to data, as a value, for everyone who samples."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..nextdit import ContextDrop, NextDiT, RopeScaling
from ..nextdit.layers.tokens import needed_mask
from ..nextdit.text import TextEncoder
from ..options import OptionError, named_text, option
from ..samplers import guide, integrate, stages, times
from ..samplers.solvers import OnStep, Velocity

Encoder = Callable[[list[str]], tuple[Tensor, Tensor | None]]
"""encoder(prompts) → features (B, L, D) and mask (B, L), None where every token counts."""
Progress = Callable[[int, int], None]
"""Called with the number of steps done and of all steps: at the start with 0, then after every step."""
MOST_STEPS = 100_000


@dataclass(frozen=True)
class Sampling:
    """Steps of a solver on a schedule, with guidance of scale `cfg` (1 is none) on all or the first `channels`.

    `parameters` are the schedule's. Raises ValueError on unknown names and values out of range.
    """

    steps: int = 30
    schedule: str = "rational"
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    solver: str = "euler"
    cfg: float = 4.0
    channels: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "parameters", dict(self.parameters))  # the caller's own may change
        stages(self.solver)
        if isinstance(self.steps, int) and self.steps > MOST_STEPS:
            raise OptionError(f"{option('steps')} must be at most {MOST_STEPS}, got {self.steps}")
        self.times()
        if not math.isfinite(self.cfg):
            raise OptionError(f"{option('cfg')} must be a finite number, got {self.cfg}")

    @property
    def guided(self) -> bool:
        """Whether a step computes two velocities."""
        return self.cfg != 1

    @property
    def schedule_text(self) -> str:
        """The schedule as NAME,key=number,…."""
        return named_text(self.schedule, self.parameters)

    def shortened(self, begin: float) -> "Sampling":
        """Return the sampling of what is left of a run at t = `begin`, with as many fewer steps, but at least one."""
        return replace(self, steps=max(1, round((1 - begin) * self.steps))) if begin else self

    def times(self, begin: float = 0.0) -> Tensor:
        """Return the solver's grid (steps + 1,), the schedule squeezed into the time from `begin` on."""
        return begin + (1 - begin) * times(self.schedule, self.steps, **self.parameters)

    def follow(self, velocity: Velocity, x: Tensor, begin: float = 0.0, on_step: OnStep | None = None) -> Tensor:
        """Return where the flow carries x, noise or what stands at t = `begin`."""
        return integrate(velocity, x, self.times(begin), self.solver, on_step)

    def guide(self, conditional: Tensor, unconditional: Tensor) -> Tensor:
        """Return the guided velocity."""
        return guide(conditional, unconditional, self.cfg, self.channels)


def noise(seeds: Sequence[int], height: int, width: int, channels: int = 3) -> Tensor:
    """Return noise (B, C, H, W) in which row i depends on seeds[i] and the size only.

    On the CPU, so that a seed means the same picture on every device.
    """
    return torch.stack(
        [torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def counted(progress: Progress | None, total: int) -> OnStep | None:
    """Return what counts the steps of all passes and tells `progress`."""
    if progress is None:
        return None
    done = itertools.count(1)
    progress(0, total)
    return lambda *_: progress(next(done), total)


def guided_velocity(
    network: Callable[..., Tensor], text: Tensor, mask: Tensor | None, sampling: Sampling, **options: object
) -> Velocity:
    """Return the velocity of pictures x (B, C, …, H, W), both halves of the guidance in one batch.

    text (2·B, L, D) has the prompts' rows and then those to steer away from, or without guidance (B, L, D); `options`
    go to the network.
    """

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows = 2 if sampling.guided else 1
        each = t.float().to(x.device).expand(rows * len(x))
        v = network(x.repeat(rows, *[1] * (x.ndim - 1)), each, text, mask, **options)
        return sampling.guide(*v.chunk(2)) if sampling.guided else v

    return velocity


@torch.inference_mode()
def features(
    encoder: Encoder, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling
) -> tuple[Tensor, Tensor | None]:
    """Return features (2·B, L, D) and mask, None where every token counts, as `guided_velocity` takes them."""
    text, mask = encoder([*prompts, *(negatives if sampling.guided else ())])
    return text, needed_mask(mask)


@torch.inference_mode()
def sample(
    network: NextDiT,
    encoder: TextEncoder,
    prompts: Sequence[str],
    x: Tensor,
    sampling: Sampling,
    *,
    begin: float = 0.0,
    rope: RopeScaling | None = None,
    drop: ContextDrop | None = None,
) -> Tensor:
    """Follow the flow from x (B, C, H, W), noise or what stands at t = `begin`, to pictures of B prompts."""
    weight = network.x_embedder.weight
    text, mask = features(encoder, prompts, [""] * len(prompts), sampling)
    velocity = guided_velocity(
        network, text.to(weight), mask if mask is None else mask.to(weight.device), sampling, rope=rope, drop=drop
    )
    return sampling.follow(velocity, x.to(weight.device), begin)
