"""The readout of Scaled RoPE: how long a wave each RoPE frequency makes, by method (the paper's figure 7a)."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...nextdit.rope import METHODS, RopeScaling
from .curve import BACKGROUND, DOT, GRID, LINE, SMOOTH, TEXT

WIDTH, HEIGHT = 360, 250
LEFT, TOP, RIGHT, BOTTOM = 40, 42, 14, 34
HEAD_DIM = 72  # of the 2B model: 18 frequencies an axis
TIMES = (0.0, 0.5, 1.0)
SHADES = (LINE, "#9d8df1", DOT)
OTHERS = "#5a606c"
TOP_POWER = 5  # waves up to 10^5 tokens


def draw_wavelengths(scaling: RopeScaling, tokens: tuple[int, int], note: str) -> torch.Tensor:
    """Return wavelength over frequency number, the chosen method bright, as an IMAGE (1, 250, 360, 3) in [0, 1].

    Drawn for the rows' axis of a head of 72 numbers. Methods that change with time are drawn at t = 0, 0.5 and 1;
    the dashed line is the training size. `tokens` are the rows and columns of the image, `note` says whose.
    """
    picture = Image.new("RGB", (WIDTH * SMOOTH, HEIGHT * SMOOTH), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    _grid(draw, scaling.train_tokens)
    for method in METHODS:
        other = RopeScaling(method, scaling.factor, scaling.train_tokens, scaling.watershed)
        for t in _times(method):
            _curve(draw, other, t, OTHERS, 1)
    for t, colour in zip(_times(scaling.method), SHADES, strict=False):
        _curve(draw, scaling, t, colour, 2)
    picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    _labels(ImageDraw.Draw(picture), scaling, tokens, note)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)[None]


def _times(method: str) -> tuple[float, ...]:
    return TIMES if method.startswith("time_aware") else TIMES[:1]


def _at(fraction: float, wavelength: float) -> tuple[float, float]:
    height = math.log10(max(wavelength, 1.0)) / TOP_POWER
    x = LEFT + fraction * (WIDTH - LEFT - RIGHT)
    y = TOP + (1.0 - min(height, 1.0)) * (HEIGHT - TOP - BOTTOM)
    return x * SMOOTH, y * SMOOTH


def _grid(draw: ImageDraw.ImageDraw, train_tokens: int) -> None:
    for power in range(TOP_POWER + 1):
        draw.line([_at(0.0, 10.0**power), _at(1.0, 10.0**power)], fill=GRID, width=SMOOTH)
    for i in range(0, 40, 2):
        draw.line([_at(i / 40, train_tokens), _at((i + 1) / 40, train_tokens)], fill=TEXT, width=SMOOTH)


def _curve(draw: ImageDraw.ImageDraw, scaling: RopeScaling, t: float, colour: str, width: int) -> None:
    theta = scaling.frequencies(HEAD_DIM, t).double()
    waves = (2 * math.pi / theta).tolist()
    points = [_at(i / (len(waves) - 1), wave) for i, wave in enumerate(waves)]
    draw.line(points, fill=colour, width=width * SMOOTH, joint="curve")


def _labels(draw: ImageDraw.ImageDraw, scaling: RopeScaling, tokens: tuple[int, int], note: str) -> None:
    font = ImageFont.load_default()
    factors = scaling.factor if isinstance(scaling.factor, tuple) else (scaling.factor,)
    size = f"{tokens[0]} x {tokens[1]} tokens"
    draw.text((LEFT, 4), f"{scaling.method}, factor {' x '.join(f'{f:.3g}' for f in factors)}", fill=TEXT, font=font)
    draw.text(
        (LEFT, 15), f"{note}: {size}, trained on {scaling.train_tokens} x {scaling.train_tokens}", fill=TEXT, font=font
    )
    x = float(LEFT)
    for t, colour in zip(_times(scaling.method), SHADES, strict=False):
        text = f"t = {t:g}" if len(_times(scaling.method)) > 1 else "this method"
        draw.text((x, 27), text, fill=colour, font=font)
        x += draw.textlength(text, font=font) + 12
    draw.text((x, 27), "other methods", fill=OTHERS, font=font)
    for power in range(TOP_POWER + 1):
        text = f"{10**power:g}" if power < 4 else f"1e{power}"
        _, y = _at(0.0, 10.0**power)
        draw.text((LEFT - 5 - draw.textlength(text, font=font), y / SMOOTH - 6), text, fill=TEXT, font=font)
    axes = "wavelength in tokens over frequency number"
    draw.text((LEFT, HEIGHT - BOTTOM + 14), axes, fill=TEXT, font=font)
