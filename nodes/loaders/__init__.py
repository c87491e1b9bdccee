"""Models, text encoders and LoRA from files."""
