"""Doors into ComfyUI: attention, positions, inputs."""
