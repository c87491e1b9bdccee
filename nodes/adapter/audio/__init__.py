"""What ComfyUI needs around a network of audio: text encoders as CLIP, sound to latents as VAE, and their loader."""
