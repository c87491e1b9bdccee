"""Stage 1 of points, `python -m lumina_next.training.data.points.prepare`: point clouds of procedural shapes.

Downloads nothing; every run makes the same.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..emoji.prepare import default_cache
from .shapes import LABELS, cloud

SETS = {"train": (500, 4096), "held-out": (64, 8192), "judge": (160, 1024)}
"""What is written: shapes of each label and points of each. No two sets share a shape."""


TOGETHER = 20
"""Shapes that a process is given at once."""


def file_of(cache: Path, name: str) -> Path:
    """Return where a set lies."""
    return cache / "points" / f"{name}.npy"


def one(label: str, seed: str, points: int) -> np.ndarray:
    """Return a cloud (points, 3), float16, of a set."""
    return cloud(label, seed, points).astype(np.float16)


def clouds(name: str, shapes: int, points: int, workers: int = 1) -> np.ndarray:
    """Return clouds (labels, shapes, points, 3), float16, of a set, made by some processes."""
    jobs = [(label, f"{name} {n}", points) for label in LABELS for n in range(shapes)]
    with ProcessPoolExecutor(workers) as pool:
        rows = list(tqdm(pool.map(one, *zip(*jobs, strict=True), chunksize=TOGETHER), total=len(jobs), desc=name))
    return np.stack(rows).reshape(len(LABELS), shapes, points, 3)


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
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="processes")
    parser.add_argument("--shapes", type=int, default=SETS["train"][0], help="of each label to train on")
    options = parser.parse_args()
    for name, (shapes, points) in {**SETS, "train": (options.shapes, SETS["train"][1])}.items():
        file_of(options.cache, name).parent.mkdir(parents=True, exist_ok=True)
        np.save(file_of(options.cache, name), clouds(name, shapes, points, options.workers))


if __name__ == "__main__":
    main()
