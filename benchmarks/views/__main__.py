"""`python -m lumina_next.benchmarks.views`; what it measures is in run.py."""

from .run import main

main()
