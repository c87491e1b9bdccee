"""The drawing of Measured Schedule: where the flow is hard (the paper's figure 6), and the steps chosen from it."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...samplers import Path, one_step_errors, refine
from .curve import BACKGROUND, DOT, GRID, LINE, SMOOTH, TEXT

WIDTH, HEIGHT = 360, 230
LEFT, TOP, RIGHT, BOTTOM = 14, 40, 14, 34
SECOND = "#b39df3"
WINDOW = 20  # the local error is that of a step of 1/20 of the way


def local_errors(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return times (N,) and the error of one Euler step of a twentieth of the way from each, per root mean square."""
    fine = refine(path, 8)
    table = one_step_errors(fine, "euler")
    span = (fine.times[-1] - fine.times[0]) / WINDOW
    starts = (fine.times <= fine.times[-1] - span).nonzero().flatten()
    ends = torch.searchsorted(fine.times, fine.times[starts] + span).clamp(max=len(fine.times) - 1)
    # The grid seldom has a point just there; Euler's error grows with the square of the step.
    exact = (span / (fine.times[ends] - fine.times[starts])) ** 2
    return fine.times[starts], table[starts, ends] * exact


def path_curvature(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the middles of the path's intervals (K - 1,) and the root mean square of dv/dt there."""
    rate = path.v.diff(dim=0) / path.times.diff().view(-1, 1, 1)
    return (path.times[1:] + path.times[:-1]) / 2, rate.square().mean(dim=(1, 2)).sqrt()


def draw_measured(path: Path, sigmas: torch.Tensor, title: str) -> torch.Tensor:
    """Return error and curvature over sigma, each to its own maximum, a line a step: IMAGE (1, 230, 360, 3)."""
    picture = Image.new("RGB", (WIDTH * SMOOTH, HEIGHT * SMOOTH), BACKGROUND)
    draw, first = ImageDraw.Draw(picture), float(path.times[0])

    def at(t: float, height: float) -> tuple[float, float]:
        x = LEFT + (t - first) / (1.0 - first) * (WIDTH - LEFT - RIGHT)
        return x * SMOOTH, (TOP + (1.0 - height) * (HEIGHT - TOP - BOTTOM)) * SMOOTH

    for height in (0.0, 0.5, 1.0):
        draw.line([at(first, height), at(1.0, height)], fill=GRID, width=SMOOTH)
    steps = (1.0 - sigmas).tolist()
    for t in steps:
        draw.line([at(t, 0.0), at(t, 1.0)], fill=GRID, width=SMOOTH)
    for (times, values), colour in ((path_curvature(path), SECOND), (local_errors(path), LINE)):
        top = max(float(values.max()), 1e-12)
        points = [at(t, v / top) for t, v in zip(times.tolist(), values.tolist(), strict=True)]
        draw.line(points, fill=colour, width=2 * SMOOTH, joint="curve")
    for t in steps:
        x, y = at(t, 0.0)
        draw.ellipse([x - 3 * SMOOTH, y - 3 * SMOOTH, x + 3 * SMOOTH, y + 3 * SMOOTH], fill=DOT)
    picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    _labels(ImageDraw.Draw(picture), title, f"{1.0 - first:g}")
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)[None]


def _labels(draw: ImageDraw.ImageDraw, title: str, first: str) -> None:
    font = ImageFont.load_default()
    draw.text((LEFT, 6), title, fill=TEXT, font=font)
    x = float(LEFT)
    for text, colour in (("local error", LINE), ("curvature", SECOND), ("steps", DOT)):
        draw.text((x, 20), text, fill=colour, font=font)
        x += draw.textlength(text, font=font) + 14
    bottom = HEIGHT - BOTTOM + 6
    draw.text((LEFT, bottom), first, fill=TEXT, font=font)
    draw.text((WIDTH - RIGHT - draw.textlength("0", font=font), bottom), "0", fill=TEXT, font=font)
    axes = "sigma, from noise to image"
    draw.text(((WIDTH - draw.textlength(axes, font=font)) / 2, bottom + 10), axes, fill=TEXT, font=font)
