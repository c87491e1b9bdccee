"""Time schedules, Runge-Kutta solvers and guidance for flow models; torch only.

Time runs from 0 (noise) to 1 (data), and a velocity is `velocity(x, t) = dx/dt`.
"""

from .analysis import curvature, discretization_error, gaussian_velocity, trajectory
from .guidance import guide
from .schedules import SCHEDULES, Parameter, Schedule, denoise_times, times
from .solvers import METHODS, Tableau, integrate, stages

__all__ = [
    "METHODS",
    "SCHEDULES",
    "Parameter",
    "Schedule",
    "Tableau",
    "curvature",
    "denoise_times",
    "discretization_error",
    "gaussian_velocity",
    "guide",
    "integrate",
    "stages",
    "times",
    "trajectory",
]
