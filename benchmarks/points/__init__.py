"""Score models of points on held-out shapes: `python -m lumina_next.benchmarks.points`."""
