"""Count how often each region of a picture shows its own prompt: `python -m lumina_next.benchmarks.regions`."""
