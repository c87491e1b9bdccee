"""Score class-conditional networks by an independent judge: `python -m lumina_next.benchmarks.classes`."""
