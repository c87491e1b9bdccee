"""Time a step of the network against diffusers': `python -m lumina_next.benchmarks.step`."""
