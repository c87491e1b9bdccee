"""What the patch nodes cost where they do nothing: `python -m lumina_next.benchmarks.inert`."""
