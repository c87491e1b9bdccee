"""`python -m lumina_next.benchmarks.sounds`; what it measures is in run.py."""

from .run import main

main()
