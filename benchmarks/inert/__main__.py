"""`python -m lumina_next.benchmarks.inert`; what it measures is in run.py."""

from .run import main

main()
