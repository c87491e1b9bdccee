"""`python -m lumina_next.benchmarks.two_passes`; what it measures is in run.py."""

from .run import main

main()
