"""`python -m lumina_next.benchmarks.train_lora`; what it counts is in run.py."""

from .run import main

main()
