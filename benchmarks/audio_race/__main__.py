"""`python -m lumina_next.benchmarks.audio_race`; what it measures is in run.py."""

from .run import main

main()
