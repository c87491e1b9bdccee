"""`python -m lumina_next.benchmarks.points`; what it measures is in run.py."""

from .run import main

main()
