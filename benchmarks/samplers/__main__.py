"""`python -m lumina_next.benchmarks.samplers`; what it measures is in run.py."""

from .run import main

main()
