"""The few-step benchmark's tables."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from ..shared.metrics import mean, rate
from ..shared.report import brief, fill_document, measured_with, settings_text, write_json, write_tables

# What is hoped for: the first run is to be as good as the second, which spends more.
BARS = (
    ((6, "sigmoid", "euler"), (10, "uniform", "euler")),
    ((6, "measured", "euler"), (10, "uniform", "euler")),
    ((6, "sigmoid", "midpoint"), (10, "uniform", "euler")),
    ((6, "measured", "midpoint"), (10, "uniform", "euler")),
    ((10, "sigmoid", "midpoint"), (20, "uniform", "euler")),
    ((10, "measured", "midpoint"), (20, "uniform", "euler")),
)
EULER = "Euler"  # the table of docs/few_steps.md
SHOWN = ("uniform", "sigmoid", "rational")  # its schedules; the fourth is no choice in any node


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


def content(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is stored: settings, bars, runs, the reference, and the measured schedules."""
    settings = {key: value.name if isinstance(value, Path) else value for key, value in found["settings"].items()}
    for key in ("results", "pictures", "document", "name", "redraw"):
        settings.pop(key, None)
    sections = {
        "What few steps were meant to reach": bars(found),
        "All runs": [summary(run) for run in found["runs"]],
        "Reference": [summary(run) for run in found["reference"]],
    }
    return {"settings": settings, "sections": sections, "schedules": found["schedules"]}


def write(stored: dict[str, Any], folder: Path, name: str) -> None:
    """Write name.json and name.md."""
    write_json(folder / f"{name}.json", stored)
    schedules = stored["schedules"]
    grids = [{"solver": key, "times": " ".join(f"{t:.3f}" for t in value)} for key, value in schedules.items()]
    sections = stored["sections"] | {"Measured schedules": grids}
    write_tables(folder / f"{name}.md", stored["settings"], sections, (), "Few steps")


def fill(stored: dict[str, Any], document: Path) -> None:
    """Put the PSNR of Euler by evaluations and schedule into the document."""
    rows: dict[int, dict[str, Any]] = {}
    for run in stored["sections"]["All runs"]:
        if run["solver"] == "euler" and run["schedule"] in SHOWN:
            row = rows.setdefault(run["NFE"], {"evaluations": run["NFE"]})
            row[f"{run['schedule']}, dB"] = run["psnr"]
    fill_document(
        document, {EULER: f"{brief(list(rows.values()))}\n\n{measured_with(settings_text(stored['settings']))}"}
    )
