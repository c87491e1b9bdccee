"""An adaptive Runge-Kutta solver: SciPy's Dormand-Prince 5(4), which torchdiffeq calls dopri5."""

import numpy as np
import torch
from torch import Tensor

from ..options import Method, Parameter
from .solvers import OnStep, Velocity

RTOL, ATOL = (
    Parameter(name, 0.01, 1e-6, 1.0, 0.001, f"Error allowed in a step, {what}. Smaller is slower and closer.")
    for name, what in (("rtol", "as a part of the value"), ("atol", "absolute"))
)
ADAPTIVE = Method("dopri5", "Chooses its steps itself, and takes only the first and the last sigma.", (RTOL, ATOL))


def integrate_adaptive(
    velocity: Velocity,
    x: Tensor,
    start: float,
    end: float,
    rtol: float = RTOL.default,
    atol: float = ATOL.default,
    on_step: OnStep | None = None,
) -> tuple[Tensor, int]:
    """Follow dx/dt = velocity(x, t) from `start` to `end`; return x there, in its dtype, and the evaluations spent.

    Steps are chosen so that the root mean square of error / (atol + rtol |x|) over the whole batch stays below 1, so
    a sample depends a little on its neighbours. x is stored as float64 on the CPU between evaluations; t is a 0-d
    float64 CPU tensor. on_step(i, t, x, v) is called after accepted step i with the time, state and velocity at which
    it began. Raises ValueError for tolerances that are not positive, and RuntimeError when no step is small enough.
    """
    # Imported here, so that whoever samples in fixed steps does not wait for it.
    from scipy.integrate import RK45

    ADAPTIVE.check({"rtol": rtol, "atol": atol})

    def to_tensor(y: np.ndarray) -> Tensor:
        return torch.from_numpy(y).to(x.device, x.dtype).view(x.shape)

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        v = velocity(to_tensor(y), torch.tensor(t, dtype=torch.float64))
        if v.shape != x.shape:
            raise ValueError(f"velocity(x, t) must return x's shape {tuple(x.shape)}, got {tuple(v.shape)}")
        return v.detach().flatten().to("cpu", torch.float64).numpy()

    if start == end or x.numel() == 0:
        return x, 0
    solver = RK45(slope, start, x.detach().flatten().to("cpu", torch.float64).numpy(), end, rtol=rtol, atol=atol)
    index = 0
    while solver.status == "running":
        began = torch.tensor(solver.t, dtype=torch.float64), to_tensor(solver.y), to_tensor(solver.f)
        message = solver.step()
        if solver.status == "failed":
            raise RuntimeError(
                f"dopri5 stopped at t = {float(solver.t):.4g} after {solver.nfev} evaluations: {message.rstrip('.')}; "
                "the model may have returned NaN: otherwise take larger rtol and atol, or a method of fixed steps"
            )
        if on_step is not None:
            on_step(index, *began)
        index += 1
    return to_tensor(solver.y), solver.nfev
