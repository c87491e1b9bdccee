"""Stage 1 of points, `python -m lumina_next.training.data.points.prepare`: point clouds of procedural shapes.

Downloads nothing; every run makes the same.
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..emoji.prepare import default_cache
from .shapes import LABELS, cloud

SETS = {"train": (500, 4096), "held-out": (64, 8192), "judge": (160, 1024)}
"""What is written: shapes of each label and points of each. No two sets share a shape."""


def file_of(cache: Path, name: str) -> Path:
    """Return where a set lies."""
    return cache / "points" / f"{name}.npy"


def clouds(name: str, shapes: int, points: int) -> np.ndarray:
    """Return clouds (labels, shapes, points, 3), float16, of a set."""
    rows = [
        [cloud(label, f"{name} {n}", points).astype(np.float16) for n in range(shapes)]
        for label in tqdm(LABELS, desc=name)
    ]
    return np.stack([np.stack(row) for row in rows])


def load(cache: Path, name: str) -> np.ndarray:
    """Return a set. Raises FileNotFoundError with the command that makes it."""
    file = file_of(cache, name)
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is missing: python -m lumina_next.training.data.points.prepare --cache {cache}"
        )
    return np.load(file, mmap_mode="r")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder to write to")
    options = parser.parse_args()
    for name, (shapes, points) in SETS.items():
        file_of(options.cache, name).parent.mkdir(parents=True, exist_ok=True)
        np.save(file_of(options.cache, name), clouds(name, shapes, points))


if __name__ == "__main__":
    main()
