"""ComfyUI's samplers on its schedules and on ours, at few evaluations: `python -m lumina_next.benchmarks.samplers`."""
