"""`python -m lumina_next.benchmarks.classes`; what it measures is in run.py."""

from .run import main

main()
