"""`python -m lumina_next.benchmarks.few_steps`; what it measures is in run.py."""

from .run import main

main()
