"""`python -m lumina_next.benchmarks.context_drop`; what it measures is in run.py."""

from .run import main

main()
