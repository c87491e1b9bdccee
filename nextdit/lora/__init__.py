"""LoRA files of every naming: formats, names, scales, and what they add to a network."""
