"""`python -m lumina_next.benchmarks.sizes`; what it measures is in run.py."""

from .run import main

main()
