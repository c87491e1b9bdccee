"""`python -m lumina_next.benchmarks.quality`; what it measures is in run.py."""

from .run import main

main()
