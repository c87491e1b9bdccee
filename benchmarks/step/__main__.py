"""`python -m lumina_next.benchmarks.step`; what it measures is in run.py."""

from .run import main

main()
