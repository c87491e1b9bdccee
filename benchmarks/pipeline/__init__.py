"""Time whole pictures in a real ComfyUI and in diffusers: `python -m lumina_next.benchmarks.pipeline`."""
