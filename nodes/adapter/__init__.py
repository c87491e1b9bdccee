"""The only place that knows both ComfyUI and the plain PyTorch packages."""
