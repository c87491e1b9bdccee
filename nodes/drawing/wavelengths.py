"""The readout of Scaled RoPE: how much longer each method makes the waves of RoPE (the paper's figure 7a)."""

import math
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...nextdit.layers.rope import Axes
from ...nextdit.layers.rope_scaling import DEFAULT, METHODS, RopeScaling
from .curve import BACKGROUND, DOT, FAINT, LINE, SMOOTH, TEXT

WIDTH, HEIGHT = 360, 250
LEFT, TOP, RIGHT, BOTTOM = 36, 46, 14, 34
TIMES = (0.0, 0.5, 1.0)
SHADES = (LINE, "#b39df3", DOT)
OTHERS, FAINT_TEXT = "#5a606c", "#8a909c"
ENDS = {0.0: " (noise)", 1.0: " (image)"}


class Plot:
    """Waves drawn at how long they are in training (x, logarithmic) and how many times longer with scaling (y)."""

    def __init__(self, scaling: RopeScaling, axes: Axes):
        self.scaling, self.axes = scaling, axes
        factors, self.native = scaling.stretched(axes)
        self.largest = max(factors)
        self.axis = factors.index(max(factors))
        self.trained = 2 * math.pi * axes.base ** axes.exponents(len(axes.widths) - 1)
        self.picture = Image.new("RGB", (WIDTH * SMOOTH, HEIGHT * SMOOTH), BACKGROUND)
        self.draw = ImageDraw.Draw(self.picture)

    def at(self, wave: float, longer: float) -> tuple[float, float]:
        first, last = (math.log(float(self.trained[i])) for i in (0, -1))
        x = LEFT + (math.log(wave) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        y = TOP + (1.0 - (longer - 1.0) / max(self.largest - 1.0, 0.5)) * (HEIGHT - TOP - BOTTOM)
        return x * SMOOTH, y * SMOOTH

    def curve(self, method: str, t: float, colour: str, width: int) -> None:
        scaling, still = replace(self.scaling, method=method), max(0, len(self.axes.widths) - 2)
        theta = scaling.thetas(self.axes, torch.tensor(t), still)[still + self.axis].double()
        longer = 2 * math.pi / theta / self.trained
        points = [self.at(wave, y) for wave, y in zip(self.trained.tolist(), longer.tolist(), strict=True)]
        self.draw.line(points, fill=colour, width=width * SMOOTH, joint="curve")

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(1, 7) if self.trained[0] <= 10.0**power <= self.trained[-1]]

    def rulings(self) -> None:
        ends = float(self.trained[0]), float(self.trained[-1])
        for longer in (1.0, self.largest):
            self.draw.line([self.at(ends[0], longer), self.at(ends[1], longer)], fill=FAINT, width=SMOOTH)
        for wave in self.ticks():
            self.draw.line([self.at(wave, 1.0), self.at(wave, self.largest)], fill=FAINT, width=SMOOTH)
        x, bottom = self.at(min(max(self.native, ends[0]), ends[1]), 1.0)
        for y in range(TOP * SMOOTH, int(bottom), 8 * SMOOTH):
            self.draw.line([(x, y), (x, y + 4 * SMOOTH)], fill=TEXT, width=SMOOTH)


def draw_wavelengths(scaling: RopeScaling, axes: Axes, tokens: tuple[int, int], note: str) -> torch.Tensor:
    """Return the picture of all methods, the chosen one bright, as an IMAGE (1, 250, 360, 3) in [0, 1].

    Methods that change with time are drawn at t = 0, 0.5 and 1; the dashed line is the native size. With a factor per
    axis, the axis of the larger one is drawn. `tokens` are the rows and columns of the image, `note` says whose.
    """
    plot = Plot(scaling, axes)
    plot.rulings()
    for method in (name for name in METHODS if name != DEFAULT):  # which is one of the others
        for t in _times(method):
            plot.curve(method, t, OTHERS, 1)
    for t, colour in reversed(_shaded(scaling.method)):
        plot.curve(scaling.method, t, colour, 2)
    picture = plot.picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    _labels(ImageDraw.Draw(picture), plot, tokens, note)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)[None]


def _times(method: str) -> tuple[float, ...]:
    return TIMES if METHODS[method].by_time else TIMES[:1]


def _shaded(method: str) -> list[tuple[float, str]]:
    return [(t, SHADES[i]) for i, t in enumerate(_times(method))]


def _labels(draw: ImageDraw.ImageDraw, plot: Plot, tokens: tuple[int, int], note: str) -> None:
    font, scaling = ImageFont.load_default(), plot.scaling
    factors = scaling.factor if isinstance(scaling.factor, tuple) else (scaling.factor,)
    native = f"{scaling.train_tokens} x {scaling.train_tokens}"
    factor = f"factor {' x '.join(f'{f:.3g}' for f in factors)}" if plot.largest > 1 else "native size, nothing changes"
    draw.text((LEFT, 3), f"{scaling.method}, {factor}", fill=TEXT, font=font)
    draw.text((LEFT, 15), f"{note}: {tokens[0]} x {tokens[1]} tokens, native to {native}", fill=TEXT, font=font)
    x = float(LEFT)
    shaded = _shaded(scaling.method)
    for t, colour in shaded:
        text = f"t = {t:g}{ENDS.get(t, '')}" if len(shaded) > 1 else "this method"
        draw.text((x, 27), text, fill=colour, font=font)
        x += draw.textlength(text, font=font) + 12
    draw.text((x, 27), "other methods", fill=OTHERS, font=font)
    for longer in dict.fromkeys((1.0, plot.largest)):
        text, y = f"x{longer:.3g}", plot.at(10.0, longer)[1] / SMOOTH
        draw.text((LEFT - 5 - draw.textlength(text, font=font), y - 6), text, fill=TEXT, font=font)
    for wave in plot.ticks():
        text, x = f"{wave:g}", plot.at(wave, 1.0)[0] / SMOOTH
        draw.text((x - draw.textlength(text, font=font) / 2, HEIGHT - BOTTOM + 4), text, fill=TEXT, font=font)
    _in_words(draw, plot, font)


def _in_words(draw: ImageDraw.ImageDraw, plot: Plot, font) -> None:
    """Write what the ends of both axes mean for the picture: where on the curve it repeats, where it blurs."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    draw.text((LEFT, bottom + 17), "fine detail", fill=TEXT, font=font)
    middle, end = "waves in tokens", "overall layout"
    draw.text(((LEFT + right - draw.textlength(middle, font=font)) / 2, bottom + 17), middle, fill=TEXT, font=font)
    draw.text((right - draw.textlength(end, font=font), bottom + 17), end, fill=TEXT, font=font)
    if plot.largest > 1:
        same = "as in training"
        draw.text((LEFT + 4, TOP + 2), "stretched to the larger picture", fill=FAINT_TEXT, font=font)
        draw.text((right - draw.textlength(same, font=font) - 4, bottom - 14), same, fill=FAINT_TEXT, font=font)
