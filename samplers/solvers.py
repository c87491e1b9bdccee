"""Explicit Runge-Kutta solvers in fixed steps, their tableaux as data."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ..options import pick

Velocity = Callable[[Tensor, Tensor], Tensor]
OnStep = Callable[[int, Tensor, Tensor, Tensor], None]


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method (Butcher tableau).

    Row i of `a` weighs the slopes before stage i, `b` weighs all slopes at the end, `c` says where in the step each
    stage lies (0 its start, 1 its end), and `order` is the order of convergence.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    order: int

    @property
    def stages(self) -> int:
        """Velocity evaluations per step."""
        return len(self.b)


METHODS: dict[str, Tableau] = {
    "euler": Tableau(a=((),), b=(1.0,), c=(0.0,), order=1),
    "midpoint": Tableau(a=((), (1 / 2,)), b=(0.0, 1.0), c=(0.0, 1 / 2), order=2),
    "heun": Tableau(a=((), (1.0,)), b=(1 / 2, 1 / 2), c=(0.0, 1.0), order=2),
    "rk4": Tableau(
        a=((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
        b=(1 / 8, 3 / 8, 3 / 8, 1 / 8),
        c=(0.0, 1 / 3, 2 / 3, 1.0),
        order=4,
    ),
}


def stages(method: str) -> int:
    """Return the velocity evaluations per step of `method`; ValueError when it is unknown."""
    return _tableau(method).stages


def integrate(
    velocity: Velocity, x: Tensor, times: Tensor, method: str = "midpoint", on_step: OnStep | None = None
) -> Tensor:
    """Follow dx/dt = velocity(x, t) along `times` and return x at its end, in x's shape and dtype.

    - velocity(x, t): x of any shape, t a 0-d tensor of times' dtype and device; must return x's shape.
    - times: (steps + 1,) float, on the CPU or on x's device; descending times run the flow backwards, and one
      time alone returns x. float64 times keep t exact where x is float32.
    - method: "euler", "midpoint" (the paper's Algorithm 1), "heun" (the trapezoidal one, torchdiffeq's "heun2"), or
      "rk4", which is Kutta's 3/8 rule as in torchdiffeq, not the classical tableau. The cost is
      `stages(method)` evaluations a step; heun and rk4 evaluate the velocity at the last time too.
    - on_step(i, t, x, v): called after the evaluations of step i = 0 … steps-1 with the time and state at which the
      step began and the velocity there. It may raise to stop the run.

    Raises ValueError for an unknown method, times that are not a 1-D float tensor with a point in it, or a velocity
    of another shape than x.
    """
    tableau = _tableau(method)
    if times.ndim != 1 or times.numel() == 0 or not times.is_floating_point():
        raise ValueError(
            f"times must be a 1-D float tensor of at least one point, got {tuple(times.shape)} {times.dtype}; "
            "samplers.times() makes one"
        )
    for i, (start, end) in enumerate(pairwise(times)):
        slopes = _slopes(velocity, x, start, end, tableau)
        if on_step is not None:
            on_step(i, start, x, slopes[0])
        x = _advance(x, end - start, tableau.b, slopes)
    return x


def _slopes(velocity: Velocity, x: Tensor, start: Tensor, end: Tensor, tableau: Tableau) -> list[Tensor]:
    slopes: list[Tensor] = []
    for weights, c in zip(tableau.a, tableau.c, strict=True):
        # start + 1 * (end - start) need not round to end.
        t = end if c == 1.0 else start + c * (end - start)
        slope = velocity(_advance(x, end - start, weights, slopes), t)
        if slope.shape != x.shape:
            raise ValueError(
                f"velocity(x, t) must return x's shape {tuple(x.shape)}, got {tuple(slope.shape)}; "
                "a model with learn_sigma returns twice the channels: keep the first half"
            )
        slopes.append(slope)
    return slopes


def _advance(x: Tensor, step: Tensor, weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            x = (x + (step * weight) * slope).to(x.dtype)
    return x


def _tableau(method: str) -> Tableau:
    pick("solver", method, METHODS)
    return METHODS[method]
