"""Tables that are on disk the moment a row is measured: tables.json, and tables.md for people."""

import json
import math
import os
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
NAME = "tables"
LOST = "did not come back"
WIDTH = 120


class Tables:
    """The tables of a folder, under titles, to which one process at a time adds.

    A row is written before it is measured, as lost, so that the next process passes over one that hangs or crashes.
    """

    def __init__(self, folder: Path, settings: Row | None = None):
        self.file = folder / f"{NAME}.json"
        content = json.loads(self.file.read_text("utf-8")) if self.file.is_file() else {}
        self.sections: dict[str, list[Row]] = content.get("sections", {})
        self.measured_with: dict[str, Row] = content.get("measured with", {})
        self.settings = settings or {}

    def row(self, title: str, key: Row, measure: Callable[[], Row]) -> Row | None:
        """Measure a row, named by `key`, unless it is there; an error becomes its last column, and is not raised.

        Only errors after which nothing works on the device end the process. Returns the row, None if it was there.
        """
        rows = self.sections.setdefault(title, [])
        if any(key.items() <= row.items() for row in rows):
            return None
        rows.append(key | {"failed": LOST})
        self.measured_with[title] = self.settings
        self.save()
        try:
            rows[-1] = key | measure()
        except Exception as error:
            rows[-1] = key | {"failed": reason(error)}
            if is_final(error):
                self.save()
                raise SystemExit(f"{title}, {key}: {reason(error)}") from error
        self.save()
        return rows[-1]

    def replace(self, title: str, rows: list[Row]) -> None:
        """Write a whole table anew."""
        self.sections[title] = rows
        self.measured_with[title] = self.settings
        self.save()

    @property
    def count(self) -> int:
        return sum(map(len, self.sections.values()))

    def save(self) -> None:
        """Write both files, each of which is whole at any time."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        content = {"measured with": self.measured_with, "sections": self.sections}
        write_whole(self.file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        parts = ["# Measured on one device"]
        for title, rows in self.sections.items():
            with_ = ", ".join(f"{key} {value}" for key, value in self.measured_with[title].items())
            parts += [f"## {title}", markdown(rows), textwrap.fill(f"Measured with {with_}.", WIDTH)]
        write_whole(self.file.with_suffix(".md"), "\n\n".join(parts) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file that appears under its name only when whole."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(text, "utf-8")
    os.replace(unfinished, file)


def markdown(rows: list[Row]) -> str:
    """Return rows as a Markdown table that has every column of any of them."""
    keys = columns(rows)
    lines = ["| " + " | ".join(keys) + " |", "| " + " | ".join("---" for _ in keys) + " |"]
    return "\n".join(
        [*lines, *("| " + " | ".join(cell(row.get(key, math.nan)) for key in keys) + " |" for row in rows)]
    )


def columns(rows: Iterable[Row]) -> list[str]:
    """Return the keys of all rows, why one failed last."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return sorted(keys, key=lambda key: key == "failed")


def cell(value: Any) -> str:
    """Return a number with three digits, a dash for one that is missing, anything else in one line."""
    if not isinstance(value, float):
        return " ".join(str(value).replace("|", "/").split())
    return "–" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def reason(error: BaseException) -> str:
    """Return an error in a line."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:160]


def is_final(error: BaseException) -> bool:
    """Tell whether nothing works on the device after an error: a kernel went wrong, not only its launch."""
    return "CUDA error" in str(error) and "out of memory" not in str(error)
