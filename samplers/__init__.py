"""Time schedules, Runge-Kutta solvers and guidance for flow models; torch only, and SciPy for the adaptive solver.

Time runs from 0 (noise) to 1 (data), and a velocity is `velocity(x, t) = dx/dt`.
"""

from ..benchmarks.schedules.analysis import curvature, discretization_error, gaussian_velocity, trajectory
from ..benchmarks.schedules.measured import (
    Path,
    cheapest_steps,
    least_error_times,
    measured_times,
    one_step_errors,
    probe,
    probe_times,
    proposals,
    refine,
)
from .adaptive import integrate_adaptive
from .guidance import guide
from .schedules import SCHEDULES, Parameter, Schedule, denoise_times, times
from .solvers import METHODS, Tableau, integrate, stages

__all__ = [
    "METHODS",
    "SCHEDULES",
    "Parameter",
    "Path",
    "Schedule",
    "Tableau",
    "cheapest_steps",
    "curvature",
    "denoise_times",
    "discretization_error",
    "gaussian_velocity",
    "guide",
    "integrate",
    "integrate_adaptive",
    "least_error_times",
    "measured_times",
    "one_step_errors",
    "probe",
    "probe_times",
    "proposals",
    "refine",
    "stages",
    "times",
    "trajectory",
]
