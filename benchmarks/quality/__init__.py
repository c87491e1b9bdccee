"""Score a checkpoint and its sampling options: `python -m lumina_next.benchmarks.quality`."""
