"""`python -m lumina_next.benchmarks.pipeline`; what it measures is in run.py."""

from .run import main

main()
