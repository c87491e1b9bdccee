"""`python -m lumina_next.benchmarks.regions`; what it measures is in run.py."""

from .run import main

main()
