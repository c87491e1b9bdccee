"""`python -m lumina_next.benchmarks.joint`; what it trains is in run.py."""

from .run import main

main()
