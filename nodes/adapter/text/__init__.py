"""Text encoders as ComfyUI's CLIP."""
