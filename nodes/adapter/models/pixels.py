"""The latents of models in pixel space: pictures as they are."""

import copy
import logging

import comfy.latent_formats
from torch import Tensor

from ..host.progress import tell

FAR = 4
"""Times the trained side up to which an empty latent is taken at its word: as far as Scaled RoPE was measured."""


class Pixels(comfy.latent_formats.ChromaRadiance):
    """Pixels; an empty latent far larger than a model can draw becomes one of the size that it draws.

    ComfyUI's own Empty Latent Image opens on 512 × 512, which is nothing to a model with a VAE, and minutes a step to
    one of 64 × 64 pixels. `side` is that of the largest square in training, None where the file does not say.
    """

    def __init__(self, side: int | None, patch_size: int):
        super().__init__()
        self.side, self.patch_size, self.limited = side, patch_size, True

    def of_any_size(self) -> "Pixels":
        """Return the format of a model that is asked for larger pictures in earnest (Scaled RoPE)."""
        unlimited = copy.copy(self)
        unlimited.limited = False
        return unlimited

    def fix_empty_latent(self, latent: Tensor) -> Tensor:
        """Return an empty latent (B, C, …, H, W) that can be sampled; the node that asks for it says what was done."""
        rows, columns = latent.shape[-2:]
        if not (self.side and self.limited) or rows * columns <= (FAR * self.side) ** 2:
            return latent
        height, width = self.fitting(rows, columns)
        text = (  # the canvas shows two lines of it
            f"drawn at {width} × {height}, as trained: {columns} × {rows} would take minutes a step. "
            "Scaled RoPE in front of the sampler draws any size"
        )
        logging.warning(text)
        tell(text)
        return latent.new_zeros(*latent.shape[:-2], height, width)

    def fitting(self, rows: int, columns: int) -> tuple[int, int]:
        """Return height and width of the trained area in the shape of rows × columns, whole patches a side."""
        scale = self.side / (rows * columns) ** 0.5 / self.patch_size
        height, width = (max(1, round(n * scale)) * self.patch_size for n in (rows, columns))
        return height, width
