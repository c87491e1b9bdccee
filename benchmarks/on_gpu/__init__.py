"""Measure all that only a GPU can show, in one command: `python -m lumina_next.benchmarks.on_gpu`."""
