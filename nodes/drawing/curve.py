"""Drawings for nodes, as images of ComfyUI's shape."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 360, 220
LEFT, TOP, RIGHT, BOTTOM = 36, 26, 14, 34
SMOOTH = 3  # lines are drawn this many times larger and scaled down
BACKGROUND, FAINT, TEXT, LINE, DOT = "#1b1d22", "#3a3e47", "#c9cdd6", "#6ea8fe", "#ffd166"


def draw_sigmas(sigmas: torch.Tensor, title: str) -> torch.Tensor:
    """Return sigma over the steps, a dot a step, as an IMAGE (1, 220, 360, 3) in [0, 1]; sigmas may be empty."""
    values = [float(s) for s in sigmas]
    picture = _axes()
    if values:
        picture = _curve(picture, values)
    picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    _labels(ImageDraw.Draw(picture), values, title)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)[None]


def _at(fraction: float, sigma: float) -> tuple[float, float]:
    x = LEFT + fraction * (WIDTH - LEFT - RIGHT)
    y = TOP + (1.0 - sigma) * (HEIGHT - TOP - BOTTOM)
    return x * SMOOTH, y * SMOOTH


def _axes() -> Image.Image:
    picture = Image.new("RGB", (WIDTH * SMOOTH, HEIGHT * SMOOTH), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line([_at(0.0, fraction), _at(1.0, fraction)], fill=FAINT, width=SMOOTH)
        draw.line([_at(fraction, 0.0), _at(fraction, 1.0)], fill=FAINT, width=SMOOTH)
    return picture


def _curve(picture: Image.Image, values: list[float]) -> Image.Image:
    draw = ImageDraw.Draw(picture)
    points = [_at(i / max(len(values) - 1, 1), sigma) for i, sigma in enumerate(values)]
    draw.line(points, fill=LINE, width=2 * SMOOTH, joint="curve")
    radius = SMOOTH * (3.0 if len(points) <= 60 else 1.5)
    for x, y in points:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=DOT)
    return picture


def in_words(values: list[float]) -> str:
    """Say what sigmas mean: how noisy the picture is after half of the steps, where they could be spread evenly."""
    steps = len(values) - 1
    if steps < 1:
        return "denoise 0: no steps, the latent stays as it is"
    if steps == 1:
        return f"1 step from {values[0]:.0%} noise to the image"
    return f"{steps} steps from {values[0]:.0%} noise; after half of them {values[steps // 2]:.0%} is left"


def _labels(draw: ImageDraw.ImageDraw, values: list[float], title: str) -> None:
    font, steps = ImageFont.load_default(), max(len(values) - 1, 0)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    draw.text((LEFT, 6), title, fill=TEXT, font=font)
    for sigma in (0.0, 0.5, 1.0):
        text = f"{sigma:g}"
        y = TOP + (1.0 - sigma) * (bottom - TOP)
        draw.text((LEFT - 6 - draw.textlength(text, font=font), y - 6), text, fill=TEXT, font=font)
    draw.text((LEFT, bottom + 5), "0", fill=TEXT, font=font)
    draw.text((right - draw.textlength(str(steps), font=font), bottom + 5), str(steps), fill=TEXT, font=font)
    axes = in_words(values)
    draw.text(((LEFT + right - draw.textlength(axes, font=font)) / 2, bottom + 16), axes, fill=TEXT, font=font)
