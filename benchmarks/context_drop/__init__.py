"""Quality and time against the context dropped: `python -m lumina_next.benchmarks.context_drop`."""
