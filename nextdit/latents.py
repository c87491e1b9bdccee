"""What the latents of 4 channels are that the families work on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LatentSpace:
    """Which VAE makes the latents, and what they are multiplied with after encoding: divide by it before decoding."""

    vae: str
    scaling: float


SDXL = LatentSpace("an SDXL VAE", 0.13025)
SD1 = LatentSpace("Stable Diffusion 1's VAE", 0.18215)
