"""Rows of measures as Markdown tables, whole and short, and JSON; samples as labelled picture grids."""

import json
import math
import re
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...training.data.emoji.pictures import to_pixels

UNITS = {"identity": "%", "one object": "%", "psnr": "dB", "both, in order": "%", "left": "%", "right": "%"}
UNITS |= {"dropped": "%", "lost": "dB"}
UNITS |= dict.fromkeys(("motion", "speed, of those", "object", "object, classifier", "drift"), "%")  # of clips
HEADS = {"psnr": "PSNR", "perceptual": "perceptual (GMSD) ↓", "sharpness": "sharpness ÷ true", "edges": "edges ↓"}
HEADS |= {"above default": "GMSD − default's", "above bicubic": "GMSD − bicubic's"}
HEADS |= {"edges above default": "edges − default's"}
SHORT_HEADS = {  # what a reader of docs/ wants to know
    "identity": "right object, %",
    "azimuth within 15°": "right side, %",
    "psnr": "PSNR, dB ↑",
    "lost": "PSNR lost, dB ↓",
    "edges": "edge distance ↓",
    "times": "times as fast",
}
ONE_DIGIT = {key for key, unit in UNITS.items() if unit == "%"} | {"psnr", "objects", "azimuth within 15°"}
ONE_DIGIT |= {"regions right, %", "all of a picture, %"}
SHORT_COLUMNS = 5
WIDTH = 120  # of a line of Markdown
LABEL_SIZE, LABEL_GAP = 14, 10  # pixels
QUALITY = 90  # of a WebP picture


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


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of equal keys as a markdown table, 95 % intervals in brackets."""
    keys = list(rows[0])
    heads = [HEADS.get(key, key) + (f", {UNITS[key]}" if key in UNITS else "") for key in keys]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in keys) + " |"]
    lines += ["| " + " | ".join(cell(row[key]) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def brief(rows: list[dict[str, Any]], keys: Sequence[str] = ()) -> str:
    """Return rows as a Markdown table for docs/: at most SHORT_COLUMNS of their keys, few digits, no intervals."""
    keys = [key for key in (keys or list(rows[0])) if key in rows[0]][:SHORT_COLUMNS]
    return table([{SHORT_HEADS.get(key, key): short_cell(row[key], ONE_DIGIT & {key}) for key in keys} for row in rows])


def short_cell(value: Any, one_digit: Any) -> Any:
    """Return a number, or of a measure its value, with one or two digits behind the point; anything else as it is."""
    measure = isinstance(value, dict)
    value = value["value"] if measure else value
    if not isinstance(value, float) or math.isnan(value):
        return value
    digits = 1 if one_digit or (measure and abs(value) >= 10) else 2
    return f"{round(value, digits) + 0.0:.{digits}f}"  # plus 0: no minus before a zero


def measured_with(settings: str) -> str:
    """Return the line below a table that says how it was measured."""
    return textwrap.fill(f"Measured with {settings}.", WIDTH, break_on_hyphens=False)


def write_results(
    folder: Path,
    name: str,
    settings: dict[str, Any],
    sections: dict[str, list[dict]],
    reached: Sequence[dict] = (),
    heading: str = "",
) -> None:
    """Write name.json, and name.md as `write_tables` does."""
    write_json(folder / f"{name}.json", {"settings": settings, "sections": sections})
    write_tables(folder / f"{name}.md", settings, sections, reached, heading or name.capitalize().replace("_", " "))


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write what is stored of a run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def write_tables(
    file: Path, settings: dict[str, Any], sections: dict[str, list[dict]], reached: Sequence[dict], heading: str
) -> None:
    """Write a page with what was to be reached and one whole table a section.

    `settings` are those of the whole run, or, keyed by the sections' titles, a line of text for each.
    """
    parts = [f"# {heading}"]
    whole = {key: value for key, value in settings.items() if key not in sections}
    parts += [textwrap.fill(", ".join(f"{key}: {value}" for key, value in whole.items()), WIDTH)] if whole else []
    parts += [table(reached)] if reached else []
    for title, rows in sections.items():
        parts += [f"## {title}\n\n{table(rows)}"] if rows else []
        parts += [measured_with(settings[title])] if title in settings else []
    file.write_text("\n\n".join(parts) + "\n", "utf-8")


def stored_results(folder: Path, name: str, needed: bool = False) -> tuple[dict[str, Any], dict[str, list[dict]]]:
    """Return how each section of name.json was measured, and its rows; both empty without such a file.

    Raises FileNotFoundError if it is `needed`.
    """
    if not needed and not (folder / f"{name}.json").is_file():
        return {}, {}
    content = stored(folder, name)
    return content["settings"], content["sections"]


def stored(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of name.json. Raises FileNotFoundError if nothing was measured under that name."""
    file = folder / f"{name}.json"
    if not file.is_file():
        raise FileNotFoundError(f"there is nothing to redraw: no {file}; measure first, without --redraw")
    return json.loads(file.read_text("utf-8"))


def settings_text(settings: dict[str, Any]) -> str:
    """Return settings as a line of text."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def fill_document(file: Path, tables: dict[str, str]) -> None:
    """Put each table between its marks <!-- table: TITLE --> and <!-- end --> in a document.

    Raises ValueError if the document has no marks for one.
    """
    text = file.read_text("utf-8")
    for title, content in tables.items():
        marks = re.compile(rf"(<!-- table: {re.escape(title)} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = marks.subn(partial(_between, content), text)
        if not found:
            raise ValueError(f"{file} has no <!-- table: {title} --> … <!-- end --> to put that table in")
    file.write_text(text, "utf-8")


def _between(content: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}\n{content}\n\n{marks[2]}"


def write_grid(file: Path, rows: dict[str, Tensor], columns: int, enlarge: int = 1) -> None:
    """Write samples, (N, 3, H, W) a row of equal sizes, as a picture of `columns` a row, with the rows' names before.

    What a name has behind a tab is left out: names are different, labels may be equal.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [np.concatenate(list(to_pixels(row[:columns])), axis=1) for row in rows.values()]
    whole = np.concatenate(lines, axis=0).repeat(enlarge, 0).repeat(enlarge, 1)
    labels = [label(name) for name in rows]
    font = ImageFont.load_default(size=LABEL_SIZE)
    measuring = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    margin = 2 * LABEL_GAP + round(max(measuring.multiline_textbbox((0, 0), text, font=font)[2] for text in labels))
    picture = Image.new("RGB", (margin + whole.shape[1], whole.shape[0]), "white")
    picture.paste(Image.fromarray(whole), (margin, 0))
    pen, height = ImageDraw.Draw(picture), whole.shape[0] / len(labels)
    for i, text in enumerate(labels):
        pen.multiline_text((LABEL_GAP, (i + 0.5) * height), text, fill="black", font=font, anchor="lm")
    picture.save(file, quality=QUALITY, method=6)


def label(name: str) -> str:
    """Return a row's name as short lines, in the letters that Pillow's own font has."""
    return re.sub(", ?", "\n", name.partition("\t")[0]).replace("×", "x")
