"""Stochastic samplers for flow models: the flow's SDE, whose noise a model's own score takes out again.

With x = t data + (1 − t) noise, a velocity v tells the score (t v − x) / (1 − t), and for any diffusion w(t)
dx = (v + w score) dt + √(2w) dW has the flow's distributions (SiT, arXiv 2401.08740, equation 5; the reference code).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ..options import Method, Parameter, pick
from .solvers import OnStep, Velocity

NORM = Parameter(
    "norm", 1.0, 0.0, 10.0, 0.05, "How much noise: 0 is none, which is the flow itself.", below=10.0, closed=True
)
LAST_STEP_SIZE = Parameter(
    "last_step_size",
    0.04,
    0.0,
    0.5,
    0.01,
    "Length of the last step, in which no noise is added, as a part of the way; 0 leaves it as the sigmas have it.",
    below=1.0,
    closed=True,
)


@dataclass(frozen=True)
class Diffusion(Method):
    """How much noise is added at a time: w(t) for a norm of 1, which multiplies it (in the reference not all of it)."""

    weight: Callable[[float], float] = lambda t: 1 - t


SDE_METHODS = {
    "euler": "one evaluation a step (Euler-Maruyama)",
    "heun": "two evaluations a step, closer to the SDE",
}
DIFFUSIONS: dict[str, Diffusion] = {
    form.name: form
    for form in (
        Diffusion("sigma", "as much as there is left in the picture (the reference's default)"),
        Diffusion("constant", "the same at all times", weight=lambda t: 1.0),
        Diffusion("decreasing", "most at the beginning", weight=lambda t: 0.25 * (math.cos(math.pi * t) + 1) ** 2),
        Diffusion("increasing_decreasing", "most in the middle", weight=lambda t: math.sin(math.pi * t) ** 2),
    )
}
LAST_STEPS = {"mean": "along the SDE without noise (the reference's default)", "euler": "along the flow"}


def sde_times(times: Tensor, last_step_size: float = LAST_STEP_SIZE.default) -> Tensor:
    """Return times that end at 1, all but the last drawn together so that the last step has a size; others as they are.

    As the reference code, whose steps before the last divide the rest of the way. A size of 0, and a single step, leave
    times as they are. Raises ValueError for a size out of range.
    """
    LAST_STEP_SIZE.check(last_step_size)
    start, before = float(times[0]), float(times[-2]) if len(times) > 2 else 1.0
    if float(times[-1]) != 1.0 or not last_step_size or start >= 1 - last_step_size or before <= start:
        return times
    drawn = start + (times - start) * ((1 - last_step_size - start) / (before - start))
    drawn[-1] = 1.0
    return drawn


def integrate_sde(
    velocity: Velocity,
    x: Tensor,
    times: Tensor,
    noise: Callable[[], Tensor],
    method: str = "euler",
    diffusion: str = "sigma",
    norm: float = NORM.default,
    last_step: str = "mean",
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow the SDE of dx/dt = velocity(x, t) along ascending `times` within 0 and 1; return x at their end.

    noise() is standard normal of x's shape, drawn once a step. A step that ends at t = 1 adds none and goes as
    `last_step` says; Tweedie's formula, which the reference has too, is the same as "euler" there. Arguments else as
    `integrate`. Raises ValueError for an unknown method and a norm out of range.
    """
    pick("SDE method", method, SDE_METHODS)
    pick("diffusion", diffusion, DIFFUSIONS)
    pick("last step", last_step, LAST_STEPS)
    NORM.check(norm)

    def weight(t: Tensor) -> float:
        return norm * DIFFUSIONS[diffusion].weight(float(t))

    def drift(x: Tensor, v: Tensor, t: Tensor) -> Tensor:
        w = weight(t)
        return v + (w / (1 - float(t))) * (float(t) * v - x) if w else v

    for i, (start, end) in enumerate(pairwise(times)):
        step, last = float(end - start), float(end) == 1.0
        noisy = x if last or method == "euler" else x + math.sqrt(2 * weight(start) * step) * noise()
        v = velocity(noisy, start)
        if on_step is not None:
            on_step(i, start, noisy, v)
        if last:
            x = x + step * (v if last_step == "euler" else drift(x, v, start))
        elif method == "euler":
            x = x + step * drift(x, v, start) + math.sqrt(2 * weight(start) * step) * noise()
        else:
            first = drift(noisy, v, start)
            ahead = noisy + step * first
            x = noisy + 0.5 * step * (first + drift(ahead, velocity(ahead, end), end))
    return x
