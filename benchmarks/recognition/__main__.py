"""`python -m lumina_next.benchmarks.recognition`; what it measures is in run.py."""

from .run import main

main()
