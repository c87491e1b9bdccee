"""Score every RoPE method above the training size: `python -m lumina_next.benchmarks.sizes`."""
