"""`python -m lumina_next.benchmarks.variety`; what it measures is in run.py."""

from .run import main

main()
