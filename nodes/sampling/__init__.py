"""Schedules, solvers, guidance."""
