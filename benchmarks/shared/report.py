"""Rows of measures as markdown tables and JSON; samples as picture grids."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ...training.data.emoji.pictures import to_pixels

UNITS = {"identity": "%", "one object": "%", "psnr": "dB", "both, in order": "%", "left": "%", "right": "%"}
UNITS |= {"dropped": "%", "lost": "dB"}
HEADS = {"psnr": "PSNR", "perceptual": "perceptual (GMSD) ↓", "sharpness": "sharpness ÷ true", "edges": "edges ↓"}
HEADS |= {"above default": "GMSD − default's", "above bicubic": "GMSD − bicubic's"}


def cell(value: Any) -> str:
    """Return a measure as text: value, and ± half its interval where it has one."""
    if isinstance(value, float) and math.isnan(value):
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
    if not isinstance(value, dict):
        return str(value)
    digits = 1 if max(abs(value["value"]), abs(value["high"])) >= 3 else 3
    return f"{value['value']:.{digits}f} ({value['low']:.{digits}f}–{value['high']:.{digits}f})"


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of equal keys as a markdown table, 95 % intervals in brackets."""
    keys = list(rows[0])
    heads = [HEADS.get(key, key) + (f", {UNITS[key]}" if key in UNITS else "") for key in keys]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in keys) + " |"]
    lines += ["| " + " | ".join(cell(row[key]) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def write_results(
    folder: Path,
    name: str,
    settings: dict[str, Any],
    sections: dict[str, list[dict]],
    reached: Sequence[dict] = (),
    heading: str = "",
) -> None:
    """Write name.json and name.md with what was to be reached and one table a section."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"settings": settings, "sections": sections}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    parts = [f"# {heading or name.capitalize()}", ", ".join(f"{key}: {value}" for key, value in settings.items())]
    parts += [table(reached)] if reached else []
    parts += [f"## {title}\n\n{table(rows)}" for title, rows in sections.items()]
    (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n", "utf-8")


def stored_results(folder: Path, name: str) -> tuple[dict[str, str], dict[str, list[dict]]]:
    """Return how each section of name.json was measured, and its rows; both empty without such a file."""
    file = folder / f"{name}.json"
    content = json.loads(file.read_text("utf-8")) if file.is_file() else {"settings": {}, "sections": {}}
    return content["settings"], content["sections"]


def told(settings: dict[str, Any]) -> str:
    """Return settings as a line of text."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def fill_document(file: Path, tables: dict[str, str]) -> None:
    """Put each table between its marks <!-- table: TITLE --> and <!-- end --> in a document.

    Raises ValueError if the document has no marks for one.
    """
    text = file.read_text("utf-8")
    for title, content in tables.items():
        marks = re.compile(rf"(<!-- table: {re.escape(title)} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = marks.subn(lambda m, content=content: f"{m[1]}\n{content}\n\n{m[2]}", text)
        if not found:
            raise ValueError(f"{file} has no <!-- table: {title} --> … <!-- end --> to put that table in")
    file.write_text(text, "utf-8")


def write_grid(file: Path, rows: list[Tensor], columns: int, enlarge: int = 1) -> None:
    """Write samples, one tensor (N, 3, H, W) a row of equal sizes, as a PNG of `columns` pictures a row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [np.concatenate(list(to_pixels(row[:columns])), axis=1) for row in rows]
    whole = np.concatenate(lines, axis=0).repeat(enlarge, 0).repeat(enlarge, 1)
    Image.fromarray(whole).save(file, optimize=True)
