"""Time schedules, Runge-Kutta solvers and guidance for flow models; torch only."""
