"""The networks as ComfyUI's own kind of model."""
