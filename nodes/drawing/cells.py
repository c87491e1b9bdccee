"""The mask of one cell as a picture with its grid, for the node that makes it."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .curve import BACKGROUND, DOT, FAINT, TEXT

SIDE, TOP = 320, 22  # the longer side of the mask, the height of the caption above it


def draw_cell(mask: torch.Tensor, rows: int, columns: int, caption: str) -> torch.Tensor:
    """Return a mask (H, W) under a caption, its grid of rows and columns ruled, as an IMAGE (1, h, w, 3) in [0, 1]."""
    height, width = mask.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = Image.fromarray((mask.clamp(0, 1) * 255).byte().numpy()).resize(size, Image.Resampling.BILINEAR)
    picture = Image.new("RGB", (SIDE, TOP + size[1]), BACKGROUND)
    left = (SIDE - size[0]) // 2
    picture.paste(Image.composite(Image.new("RGB", size, DOT), Image.new("RGB", size, "#2a2d35"), grey), (left, TOP))
    draw = ImageDraw.Draw(picture)
    for column in range(1, columns):
        x = left + size[0] * column / columns
        draw.line([(x, TOP), (x, TOP + size[1])], fill=FAINT)
    for row in range(1, rows):
        y = TOP + size[1] * row / rows
        draw.line([(left, y), (left + size[0], y)], fill=FAINT)
    draw.text((4, 5), caption, fill=TEXT, font=ImageFont.load_default())
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)[None]
