"""Where things lie, and how the user is told of them."""

from __future__ import annotations  # so that an older Python gets as far as being told

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
WORK = ROOT / ".launch"


class LaunchError(Exception):
    """Something the user has to know; shown without a traceback."""


def say(text: str) -> None:
    """Print one line at once, even into a pipe."""
    print(text, flush=True)
