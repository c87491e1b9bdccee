"""The few-step benchmark's tables and plot."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..shared.metrics import mean, rate
from ..shared.report import table

# What is hoped for: the first run is to be as good as the second, which spends more.
BARS = (
    ((6, "sigmoid", "euler"), (10, "uniform", "euler")),
    ((6, "measured", "euler"), (10, "uniform", "euler")),
    ((6, "sigmoid", "midpoint"), (10, "uniform", "euler")),
    ((6, "measured", "midpoint"), (10, "uniform", "euler")),
    ((10, "sigmoid", "midpoint"), (20, "uniform", "euler")),
    ((10, "measured", "midpoint"), (20, "uniform", "euler")),
)
COLOURS = {"uniform": "#8b93a1", "rational": "#d97757", "sigmoid": "#3f9d6b", "measured": "#2f6fde"}
WIDTH, HEIGHT, MARGIN, SMOOTH = 380, 300, 48, 3


def bars(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row a bar: the differences of error and PSNR over the same prompts and noises."""
    by = {(run["NFE"], run["schedule"], run["solver"]): run for run in found["runs"]}
    rows = []
    for wanted, other in BARS:
        if wanted in by and other in by:
            a, b = by[wanted], by[other]
            names = ["{1} + {2} at {0}".format(*key) for key in (wanted, other)]
            ratio = mean((a["error"] / b["error"]).log())
            rows.append(
                {
                    "run": names[0],
                    "against": names[1],
                    "error, ratio": {key: math.exp(ratio[key]) for key in ("value", "low", "high")},
                    "PSNR to the true picture, difference, dB": mean(a["psnr"] - b["psnr"]),
                    "reached, by error": verdict(-ratio["low"], -ratio["high"]),
                    "reached, by PSNR": verdict(*(mean(a["psnr"] - b["psnr"])[key] for key in ("high", "low"))),
                }
            )
    return rows


def verdict(high: float, low: float) -> str:
    """Return whether a gain with this 95 % interval is one, is a loss, or may be either."""
    return "yes" if low >= 0 else "no" if high < 0 else "within the interval"


def summary(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run's row: its names, then means and shares with 95 % intervals."""
    row = {key: value for key, value in run.items() if not isinstance(value, Tensor)}
    return row | {"error": mean(run["error"]), "psnr": mean(run["psnr"]), "identity": rate(run["identity"])}


def write(found: dict[str, Any], folder: Path) -> None:
    """Write few_steps.json and few_steps.md: bars, runs, the reference, and the measured schedules."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {key: value.name if isinstance(value, Path) else value for key, value in found["settings"].items()}
    for key in ("results", "pictures"):
        settings.pop(key, None)
    sections = {
        "What few steps were meant to reach": bars(found),
        "All runs": [summary(run) for run in found["runs"]],
        "Reference": [summary(run) for run in found["reference"]],
    }
    content = {"settings": settings, "sections": sections, "schedules": found["schedules"]}
    (folder / "few_steps.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    parts = ["# Few steps", ", ".join(f"{key}: {value}" for key, value in settings.items())]
    parts += [f"## {title}\n\n{table(rows)}" for title, rows in sections.items() if rows]
    grids = [{"solver": key, "times": " ".join(f"{t:.3f}" for t in value)} for key, value in found["schedules"].items()]
    parts.append(f"## Measured schedules\n\n{table(grids)}")
    (folder / "few_steps.md").write_text("\n\n".join(parts) + "\n", "utf-8")


def draw(found: dict[str, Any], file: Path) -> None:
    """Draw the error over the evaluations, both logarithmic, a panel each for Euler and midpoint."""
    panels = [[run for run in found["runs"] if run["solver"] == solver] for solver in ("euler", "midpoint")]
    errors = torch.stack([run["error"].mean() for panel in panels for run in panel])
    counts = sorted({run["NFE"] for panel in panels for run in panel})
    low, high = math.log(errors.min()), math.log(errors.max())

    def at(nfe: int, error: float, left: int) -> tuple[float, float]:
        x = left + MARGIN + (WIDTH - MARGIN - 20) * math.log(nfe / counts[0]) / max(math.log(counts[-1] / counts[0]), 1)
        y = 44 + (HEIGHT - 90) * (high - math.log(error)) / max(high - low, 1e-6)
        return x * SMOOTH, y * SMOOTH

    picture = Image.new("RGB", (2 * WIDTH * SMOOTH, HEIGHT * SMOOTH), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11 * SMOOTH)
    for left, panel in zip((0, WIDTH), panels, strict=True):
        for nfe in counts:
            x, y = at(nfe, math.exp(low), left)
            pen.line([(x, 44 * SMOOTH), (x, y)], fill="#e5e7eb", width=SMOOTH)
            pen.text((x - 6 * SMOOTH, y + 6 * SMOOTH), str(nfe), fill="black", font=font)
        for value in (math.exp(low), math.exp((low + high) / 2), math.exp(high)):
            x, y = at(counts[0], value, left)
            pen.text((x - 42 * SMOOTH, y - 7 * SMOOTH), f"{value:.3f}", fill="black", font=font)
        for schedule, colour in COLOURS.items():
            line = [at(run["NFE"], run["error"].mean().item(), left) for run in panel if run["schedule"] == schedule]
            pen.line(line, fill=colour, width=2 * SMOOTH, joint="curve")
            for x, y in line:
                pen.ellipse([x - 3 * SMOOTH, y - 3 * SMOOTH, x + 3 * SMOOTH, y + 3 * SMOOTH], fill=colour)
        title = f"{panel[0]['solver']}: error over evaluations"
        pen.text(((left + MARGIN) * SMOOTH, 6 * SMOOTH), title, fill="black", font=font)
        for i, (schedule, colour) in enumerate(COLOURS.items()):
            pen.text(((left + MARGIN + 74 * i) * SMOOTH, 22 * SMOOTH), schedule, fill=colour, font=font)
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((2 * WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(file, optimize=True)
