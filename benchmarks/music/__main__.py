"""`python -m lumina_next.benchmarks.music`; what it measures is in run.py."""

from .run import main

main()
