"""What ComfyUI's own Train LoRA takes of memory on its Lumina models: `python -m lumina_next.benchmarks.train_lora`."""
