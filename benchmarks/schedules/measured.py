"""Schedules measured on the flow at hand: probe a path once, then choose the steps that cost the least error on it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ...samplers.schedules import times
from ...samplers.solvers import METHODS, Velocity, integrate, stages

POINTS, POINTS_A_STEP = 120, 6  # how finely a probed path is interpolated before steps are chosen on it


@dataclass(frozen=True)
class Path:
    """A flow's path: times (K,) ascending, states x (K, B, N) and velocities v (K, B, N), float64 on the CPU."""

    times: Tensor
    x: Tensor
    v: Tensor

    def __post_init__(self) -> None:
        if len(self.times) < 3 or (self.times.diff() <= 0).any():
            raise ValueError(f"a path needs at least three ascending times, got {self.times.tolist()}")
        if not (torch.isfinite(self.x).all() and torch.isfinite(self.v).all()):
            raise ValueError("the path is not finite: the model returned NaN or infinity; try float32 or bfloat16")

    def join(self, other: "Path") -> "Path":
        """Return both paths as one batch; ValueError when their times or entries differ."""
        if not torch.equal(self.times, other.times) or self.x.shape[2:] != other.x.shape[2:]:
            raise ValueError("only paths of the same times and number of entries can be joined")
        return Path(self.times, torch.cat([self.x, other.x], 1), torch.cat([self.v, other.v], 1))


def probe_times(steps: int, start: float = 0.0) -> Tensor:
    """Return the grid to probe a flow on, (steps + 1,) float64 from `start` to 1, finer near noise."""
    return start + (1.0 - start) * times("rational", steps, alpha=1.5).double()


def probe(
    velocity: Velocity, x: Tensor, times: Tensor, method: str = "midpoint", entries: int = 4096
) -> tuple[Path, Tensor]:
    """Follow the flow from x (B, ...) along `times`; return its path, and x at its end.

    Costs `stages(method)` evaluations a step. The path has at most `entries` numbers of each sample, chosen at random
    but always the same ones: a few thousand give the norm of an error to about a percent. The velocity at the last
    time is extrapolated, since a model may have none there.
    """
    size = x[0].numel()
    kept = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:entries].sort().values.to(x.device)

    def keep(x: Tensor) -> Tensor:
        return x.flatten(1)[:, kept].to("cpu", torch.float64)  # (B, N)

    states, slopes = [keep(x)], []
    for pair in pairwise(times):
        x = integrate(velocity, x, torch.stack(pair), method, lambda i, t, x, v: slopes.append(keep(v)))
        states.append(keep(x))
    last = (times[-1] - times[-2]).double().cpu()
    # The parabola through the last two states with the velocity at the first of them.
    slopes.append(2 * (states[-1] - states[-2]) / last - slopes[-1])
    return Path(times.double().cpu(), torch.stack(states), torch.stack(slopes)), x


def refine(path: Path, parts: int) -> Path:
    """Return the path with every interval cut into `parts` equal ones, by cubic Hermite interpolation."""
    s = torch.arange(parts, dtype=torch.float64).view(1, -1, 1, 1) / parts
    h = path.times.diff().view(-1, 1, 1, 1)
    x0, x1, v0, v1 = (a[:, None] for a in (path.x[:-1], path.x[1:], path.v[:-1], path.v[1:]))  # (K - 1, 1, B, N)
    rise = (x1 - x0) / h
    x = x0 + h * s * ((1 - s) ** 2 * v0 - s * (1 - s) * v1) + (3 - 2 * s) * s**2 * (x1 - x0)
    v = (1 - s) * (1 - 3 * s) * v0 + s * (3 * s - 2) * v1 + 6 * s * (1 - s) * rise
    grid = path.times[:-1, None] + h[..., 0, 0] * s[..., 0, 0]
    x, v = (torch.cat([a.flatten(0, 1), last[-1:]]) for a, last in ((x, path.x), (v, path.v)))
    return Path(torch.cat([grid.flatten(), path.times[-1:]]), x, v)


def one_step_errors(path: Path, method: str = "euler") -> Tensor:
    """Return the root mean square error of one step of `method` from each time to each later one, (K, K) float64.

    The step is taken with the velocities of the path itself: exact for Euler, and for the others the error of their
    quadrature rule, which leaves out that their stages lie beside the path. It asks the model for nothing.
    Entries that are no step forward are 0. Raises ValueError for an unknown method.
    """
    stages(method)
    tableau, grid = METHODS[method], path.times
    errors = torch.zeros(len(grid), len(grid), dtype=torch.float64)
    for i in range(len(grid) - 1):
        h = (grid[i + 1 :] - grid[i]).view(-1, 1, 1)
        slopes = [b * _velocity(path, i, c) for b, c in zip(tableau.b, tableau.c, strict=True) if b]
        missed = path.x[i] + h * sum(slopes) - path.x[i + 1 :]  # (K - 1 - i, B, N)
        errors[i, i + 1 :] = missed.square().mean(dim=(1, 2)).sqrt()
    return errors


def _velocity(path: Path, i: int, c: float) -> Tensor:
    """Return the velocity at the part c of each step that begins at time i, (1 or K - 1 - i, B, N)."""
    if c in (0.0, 1.0):
        return path.v[i : i + 1] if c == 0.0 else path.v[i + 1 :]
    at = path.times[i] + c * (path.times[i + 1 :] - path.times[i])
    after = torch.searchsorted(path.times, at).clamp(1, len(path.times) - 1)
    before = path.times[after - 1]
    weight = ((at - before) / (path.times[after] - before)).view(-1, 1, 1)
    return torch.lerp(path.v[after - 1], path.v[after], weight)


def cheapest_steps(errors: Tensor, steps: int) -> list[int]:
    """Return the steps + 1 indices from the first to the last time whose steps' squared errors have the least sum.

    Exact, by dynamic programming over the table (K, K) that `one_step_errors` returns. Where the error grows with a
    power of the step this equidistributes it. Raises ValueError when steps is below 1 or above K - 1.
    """
    count = len(errors)
    if not 1 <= steps < count:
        raise ValueError(f"steps must be between 1 and {count - 1}, the intervals of the path, got {steps}")
    forward = torch.ones(count, count, dtype=torch.bool).triu(1)
    cost = torch.where(forward, errors.square(), math.inf)
    total, origins = cost[0], []
    for _ in range(steps - 1):
        total, origin = (total[:, None] + cost).min(dim=0)
        origins.append(origin)
    chosen = [count - 1]
    for origin in reversed(origins):
        chosen.append(int(origin[chosen[-1]]))
    return [0, *reversed(chosen)]


def least_error_times(path: Path, steps: int, method: str = "euler") -> Tensor:
    """Return the n-step schedule for `method` with the least error on a probed path: (steps + 1,) float32, ascending.

    Ends exactly where the path does. A search over one-step errors as in "On the Trajectory Regularity of ODE-based
    Diffusion Sampling" (Chen et al. 2024, arXiv 2405.11326), with the squares summed, and on an interpolated path.
    Raises ValueError for an unknown method or steps below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    points = max(POINTS, POINTS_A_STEP * steps)
    fine = refine(path, math.ceil(points / (len(path.times) - 1)))
    return fine.times[cheapest_steps(one_step_errors(fine, method), steps)].float()


def proposals(path: Path, steps: int, method: str = "euler") -> list[Tensor]:
    """Return the schedules worth trying on a flow with this path: (steps + 1,) float32 each, the measured one first.

    The measured schedule leaves out how errors grow on the way to the end and that stages lie beside the path. So the
    uniform and the sigmoid one, and the means of both with it, stand by where the path is good enough to judge them:
    where it took at least twice as many evaluations, `probe` having spent two a step. Raises as `least_error_times`.
    """
    measured = least_error_times(path, steps, method)
    if steps * stages(method) > len(path.times) - 1:
        return [measured]
    start = path.times[0].float()
    fixed = [start + (1.0 - start) * times(name, steps) for name in ("uniform", "sigmoid")]
    return [measured, *fixed, *((measured + grid) / 2 for grid in fixed)]


def measured_times(path: Path, end: Tensor, run: Callable[[Tensor], Tensor], steps: int, method: str) -> Tensor:
    """Return the proposal that ends nearest to `end`, x where the path ended: (steps + 1,) float32, ascending.

    `run(times)` samples along a schedule from where the path began; it is asked for each proposal, unless there is but
    one. Raises as `least_error_times`.
    """
    grids = proposals(path, steps, method)
    if len(grids) == 1:
        return grids[0]
    errors = [(run(grid) - end).float().square().mean().item() for grid in grids]
    return grids[min(range(len(grids)), key=errors.__getitem__)]
