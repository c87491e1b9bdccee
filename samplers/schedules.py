"""Time schedules: where on [0, 1] the solver's steps begin and end."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..options import Method, Parameter, pick


@dataclass(frozen=True)
class Schedule(Method):
    """A monotone map u -> t of [0, 1] onto itself, with the parameters that shape it."""

    curve: Callable[..., Tensor] = lambda u: u


def _rational(u: Tensor, alpha: float) -> Tensor:
    return u / (u + alpha - alpha * u)


def _sigmoid(u: Tensor, mu: float, sigma1: float, sigma2: float) -> Tensor:
    def logistic(v: Tensor) -> Tensor:
        # The two halves meet at mu, where both are 1/2.
        return torch.special.expit(torch.where(v < mu, (v - mu) / sigma1, (v - mu) / sigma2))

    first, last = logistic(u.new_tensor(0.0)), logistic(u.new_tensor(1.0))
    return (logistic(u) - first) / (last - first)


ALPHA = Parameter("alpha", 4.0, 0.05, 100.0, 0.05, "How strongly steps gather near noise. 1 is uniform; 6 suits 2K.")
MU = Parameter("mu", 0.7, 0.01, 0.99, 0.01, "Part of the steps before the largest one: the curve's centre.", below=1.0)
SIGMA1 = Parameter("sigma1", 0.2, 0.05, 10.0, 0.01, "Noise side. Smaller makes the first steps smaller.", below=1e3)
SIGMA2 = Parameter("sigma2", 0.3, 0.05, 10.0, 0.01, "Image side. Smaller makes the last steps smaller.", below=1e3)

SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule(
            "rational",
            "Spends more steps near noise, where the layout is decided. The reference code's time shift.",
            (ALPHA,),
            _rational,
        ),
        Schedule(
            "sigmoid",
            "Small steps near noise and near the finished image, large ones in between. Made for few steps.",
            (MU, SIGMA1, SIGMA2),
            _sigmoid,
        ),
        Schedule("uniform", "Equal steps of time."),
    )
}


def times(schedule: str, steps: int, **parameters: float) -> Tensor:
    """Return where a solver's steps begin and end: (steps + 1,) float32 on the CPU, from exactly 0 (noise) to 1 (data).

    With u evenly spaced (paper, section 2.3, equation 4; all computed in float64):

    - "uniform": t = u.
    - "rational" (alpha=4): t = u / (u + alpha - alpha u); alpha is the reference code's time_shifting_factor.
    - "sigmoid" (mu=0.7, sigma1=0.2, sigma2=0.3): t = (g(u) - g(0)) / (g(1) - g(0)), g the logistic function of
      (u - mu) / sigma1 below mu and of (u - mu) / sigma2 above.

    The paper's constants for "sigmoid" are lost in the copies we know: formula and defaults are our definition, the
    defaults measured on images' power spectrum (benchmarks/notes/few_steps.md).

    Extreme parameters can put points closer together than float32 can tell apart; these come out equal.

    Raises ValueError for an unknown schedule or parameter, a value out of range, or steps below 1.
    """
    pick("schedule", schedule, SCHEDULES)
    values = SCHEDULES[schedule].check(parameters)
    _check_steps(steps)
    u = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    t = SCHEDULES[schedule].curve(u, **values)
    t[0], t[-1] = 0.0, 1.0
    return t.float()


def denoise_times(schedule: str, steps: int, denoise: float = 1.0, **parameters: float) -> Tensor:
    """Return the end of a longer schedule, for image to image: (steps + 1,) float32, or (0,) when denoise is 0.

    As ComfyUI's BasicScheduler: a schedule of int(steps / denoise) steps of which the last `steps` are kept, so that
    `steps` evaluations are spent whatever `denoise` is. Raises ValueError as `times` does, and for denoise
    outside [0, 1].
    """
    if not 0.0 <= denoise <= 1.0:
        raise ValueError(f"denoise must be between 0 (keep the image) and 1 (start from pure noise), got {denoise!r}")
    _check_steps(steps)
    total = steps if denoise == 0.0 else int(steps / denoise)
    longer = times(schedule, total, **parameters)
    return longer[:0] if denoise == 0.0 else longer[-(steps + 1) :]


def _check_steps(steps: int) -> None:
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
