"""Clips: latents of frames, from images and back."""
