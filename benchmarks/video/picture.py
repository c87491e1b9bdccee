"""Clips side by side as an animated picture."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...training.data.emoji.pictures import to_pixels

ENLARGE, GAP, LABEL = 3, 4, 18  # times; px between clips; px above each row, for its name
QUALITY = 80
PAPER, INK = "white", "black"


def write_clips(file: Path, rows: dict[str, Tensor], fps: float = 8.0) -> None:
    """Write rows of clips (N, 3, F, H, W) in [-1, 1], of equal shapes, as a WebP that plays them at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    frames = next(iter(rows.values())).shape[2]
    first, *others = [sheet({name: clips[:, :, i] for name, clips in rows.items()}) for i in range(frames)]
    first.save(file, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, quality=QUALITY, method=6)


def sheet(rows: dict[str, Tensor]) -> Image.Image:
    """Return one frame: rows of pictures (N, 3, H, W), each with its name above."""
    drawn = {name: to_pixels(pictures).repeat(ENLARGE, 1).repeat(ENLARGE, 2) for name, pictures in rows.items()}
    count, height, width, _ = next(iter(drawn.values())).shape
    across, down = width + GAP, LABEL + height + GAP
    whole = Image.new("RGB", (count * across - GAP, len(drawn) * down - GAP), PAPER)
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(size=13)
    for row, (name, pictures) in enumerate(drawn.items()):
        pen.text((2, row * down), name, fill=INK, font=font)
        for column, picture in enumerate(np.asarray(pictures)):
            whole.paste(Image.fromarray(picture), (column * across, row * down + LABEL))
    return whole
