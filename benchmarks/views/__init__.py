"""Score a multi-view checkpoint on held-out objects: `python -m lumina_next.benchmarks.views`."""
