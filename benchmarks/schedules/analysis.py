"""Where a flow is hard to integrate: discretisation errors, curvature, and a flow that is known in closed form."""

from itertools import pairwise

import torch
from torch import Tensor

from ...samplers.solvers import Velocity, integrate


def gaussian_velocity(variance: Tensor) -> Velocity:
    """Return the exact velocity of the flow from N(0, 1) to N(0, variance), element by element.

    `variance` broadcasts against x. With s(t) = sqrt((1-t)^2 + t^2 variance), the standard deviation at time t, the
    velocity is x s'(t) / s(t), and so x(t) = x(0) s(t): an ODE with a known solution, stiff near noise where the
    variance is large and near data where it is small. It is E[x1 - x0 | x_t], what flow matching learns.
    """

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return x * (t * variance - (1 - t)) / ((1 - t) ** 2 + t**2 * variance)

    return velocity


def trajectory(velocity: Velocity, x: Tensor, times: Tensor, method: str = "euler") -> Tensor:
    """Return x at every time of the grid, (steps + 1, *x.shape)."""
    points = [x]
    for pair in pairwise(times):
        points.append(integrate(velocity, points[-1], torch.stack(pair), method))
    return torch.stack(points)


def discretization_error(velocity: Velocity, x: Tensor, times: Tensor, substeps: int = 100) -> Tensor:
    """Return the local error of Euler's method at each time of the grid but the last, (steps, B).

    At t_i it is the L2 distance, per sample, between one Euler step to t_{i+1} and `substeps` equal ones over the same
    interval; the fine path is then followed to the next interval (paper, section 2.3). x is (B, ...).
    Raises ValueError when substeps is below 2.
    """
    if substeps < 2:
        raise ValueError(f"substeps must be at least 2 to say anything about the error of one step, got {substeps}")
    fractions = torch.linspace(0, 1, substeps + 1, dtype=times.dtype, device=times.device)
    errors = []
    for start, end in pairwise(times):
        coarse = integrate(velocity, x, torch.stack([start, end]), "euler")
        x = integrate(velocity, x, torch.lerp(start, end, fractions), "euler")
        errors.append(_norm(coarse - x))
    return torch.stack(errors)


def curvature(points: Tensor, times: Tensor) -> Tensor:
    """Return the norm of the trajectory's second derivative at each inner time of the grid, (steps - 1, B).

    `points` is (steps + 1, B, ...), as `trajectory` returns it. The derivative is the second difference over unequal
    steps, 2 (v_i - v_{i-1}) / (h_i + h_{i-1}) with v_i = (x_{i+1} - x_i) / h_i, so a straight path has none
    (paper, section 2.3). Raises ValueError when points and times differ in length or are fewer than three.
    """
    if len(points) != len(times) or len(times) < 3:
        raise ValueError(f"curvature needs one point a time and at least three, got {len(points)} and {len(times)}")
    h = times.diff().to(points).view(-1, *[1] * (points.ndim - 1))  # (steps, 1, ...)
    v = points.diff(dim=0) / h  # (steps, B, ...)
    second = 2 * v.diff(dim=0) / (h[1:] + h[:-1])  # (steps - 1, B, ...)
    return torch.stack([_norm(s) for s in second])


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)  # (B,)
