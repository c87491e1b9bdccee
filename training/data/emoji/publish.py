"""Stage 4, `python -m lumina_next.training.data.emoji.publish`: what demo/ holds beside the weights."""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from . import sources
from .concepts import EMOJI
from .pictures import render
from .prepare import default_cache

COLUMNS = 8
SIZES = (64, 96, 128, 256)


def write_sheets(pictures: dict[int, np.ndarray], folder: Path) -> None:
    """Write RGBA pictures, size → (N, size, size, 4), as one PNG sheet a size, COLUMNS to a row."""
    folder.mkdir(parents=True, exist_ok=True)
    for size, drawn in pictures.items():
        drawn = np.concatenate([drawn, np.zeros((-len(drawn) % COLUMNS, size, size, 4), np.uint8)])
        rows = [np.concatenate(list(drawn[i : i + COLUMNS]), axis=1) for i in range(0, len(drawn), COLUMNS)]
        Image.fromarray(np.concatenate(rows, axis=0)).save(folder / f"{size}.png", optimize=True)


def publish(cache: Path, out: Path) -> None:
    """Write concepts.json and the sheets: first the trained concepts, then the others of EMOJI, not trained.

    The others make the benchmark's "nearest of all pictures" harder to get right by chance.
    """
    table = json.loads((cache / "concepts.json").read_text("utf-8"))
    table["others"] = [e for e in EMOJI if e not in table["emoji"]]
    svg = sources.pictures(sources.fetch("pictures", cache))
    shown = table["emoji"] + table["others"]
    write_sheets({size: np.stack([render(svg[e], size) for e in shown]) for size in SIZES}, out / "pictures")
    (out / "concepts.json").write_text(json.dumps(table, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[3] / "demo")
    arguments = parser.parse_args()
    publish(arguments.cache, arguments.out)


if __name__ == "__main__":
    main()
