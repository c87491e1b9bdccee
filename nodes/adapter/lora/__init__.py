"""LoRA on a MODEL."""
