"""`python -m lumina_next.benchmarks.video`; what it measures is in run.py."""

from .run import main

main()
