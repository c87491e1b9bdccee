"""Schedules and solvers at few network evaluations: `python -m lumina_next.benchmarks.few_steps`."""
