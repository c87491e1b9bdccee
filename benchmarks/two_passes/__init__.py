"""Second passes with and without scaled positions: `python -m lumina_next.benchmarks.two_passes`."""
