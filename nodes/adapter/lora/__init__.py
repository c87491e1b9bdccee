"""LoRA files: formats, names, scales."""
