"""Time schedules, Runge-Kutta solvers and guidance for flow models; torch only, and SciPy for the adaptive solver.

Time runs from 0 (noise) to 1 (data), and a velocity is `velocity(x, t) = dx/dt`.
"""

from .adaptive import ADAPTIVE, integrate_adaptive
from .guidance import guide
from .schedules import SCHEDULES, Schedule, denoise_times, times
from .sde import DIFFUSIONS, LAST_STEPS, SDE_METHODS, integrate_sde, sde_times
from .solvers import METHODS, Tableau, integrate, stages

__all__ = [
    "ADAPTIVE",
    "DIFFUSIONS",
    "LAST_STEPS",
    "METHODS",
    "SCHEDULES",
    "SDE_METHODS",
    "Schedule",
    "Tableau",
    "denoise_times",
    "guide",
    "integrate",
    "integrate_adaptive",
    "integrate_sde",
    "sde_times",
    "stages",
    "times",
]
