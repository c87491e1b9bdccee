"""Multi-view data, `python -m lumina_next.training.data.objects.views`: coloured objects from all sides.

All made by this code from primitives, nothing downloaded. Written into the cache folder, for `size` 64:

- views-64.npy uint8 (objects, 8, 64, 64, 3) at azimuths.npy float32 (objects, 8), degrees, elevation 20°;
- images-64.npy uint8 (objects, 4, 64, 64, 3): condition image j at the azimuth of view j, elevation 0° to 40°;
- objects.json: family, caption, captions, colours and seed of each object;
- test-views-64.npy uint8 (objects, 24, 64, 64, 3): held-out objects every 15° from 0°, elevation 20°;
- test-images-64.npy uint8 (objects, 2, 64, 64, 3): those at azimuth 0°, elevation 20° and a random one;
- test-objects.json: what they are. No training object has the shape of one, or its family in its first two colours.

Azimuth grows counter-clockwise seen from above; the camera moves, object and light stand still (rendering.py).
Objects face 30°: azimuth 0° is the usual three-quarter view of the front and a side. The files of fewer objects are
the beginning of those of more.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np
from tqdm import tqdm

from ..emoji.prepare import default_cache
from .objects import ObjectRecord, build, draw
from .rendering import Renderer

OBJECTS, TEST_OBJECTS = 3000, 160
VIEWS, IMAGES, TEST_VIEWS = 8, 4, 24
ELEVATION, HIGHEST = 20.0, 40.0
SIZE = 64


def training_views(index: int, size: int = SIZE) -> tuple[ObjectRecord, list[float], np.ndarray, np.ndarray]:
    """Return a training object: record, azimuths, views (8, size, size, 3), condition images (4, size, size, 3)."""
    record = draw(index, held_out=False)
    chance = Random(f"cameras {record.seed}")
    renderer = Renderer(*build(record), size)
    azimuths = [chance.uniform(0, 360) for _ in range(VIEWS)]
    views = np.stack([renderer.view(azimuth, ELEVATION) for azimuth in azimuths])
    images = np.stack([renderer.view(azimuth, chance.uniform(0, HIGHEST)) for azimuth in azimuths[:IMAGES]])
    return record, azimuths, views, images


def held_out_views(index: int, size: int = SIZE) -> tuple[ObjectRecord, np.ndarray, np.ndarray]:
    """Return a held-out object: record, views (24, size, size, 3), condition images (2, size, size, 3)."""
    record = draw(index, held_out=True)
    renderer = Renderer(*build(record), size)
    views = np.stack([renderer.view(360 / TEST_VIEWS * k, ELEVATION) for k in range(TEST_VIEWS)])
    elevation = Random(f"cameras {record.seed}").uniform(0, HIGHEST)
    return record, views, np.stack([views[0], renderer.view(0, elevation)])


def write(cache: Path, objects: int = OBJECTS, test_objects: int = TEST_OBJECTS, size: int = SIZE) -> None:
    """Write all files into `cache`. Raises ImportError where trimesh or embreex is not installed."""
    write_training(cache, objects, size)
    write_held_out(cache, test_objects, size)


def write_training(cache: Path, objects: int, size: int) -> None:
    """Write the files that training reads."""
    azimuths = np.empty((objects, VIEWS), np.float32)
    views = np.empty((objects, VIEWS, size, size, 3), np.uint8)
    images = np.empty((objects, IMAGES, size, size, 3), np.uint8)
    records = []
    for k in tqdm(range(objects), desc="training", unit="object"):
        record, azimuths[k], views[k], images[k] = training_views(k, size)
        records.append(asdict(record))
    np.save(cache / "azimuths.npy", azimuths)
    np.save(cache / f"views-{size}.npy", views)
    np.save(cache / f"images-{size}.npy", images)
    write_json(cache / "objects.json", records)


def write_held_out(cache: Path, objects: int, size: int) -> None:
    """Write the files that only measurements read."""
    views = np.empty((objects, TEST_VIEWS, size, size, 3), np.uint8)
    images = np.empty((objects, 2, size, size, 3), np.uint8)
    records = []
    for k in tqdm(range(objects), desc="held out", unit="object"):
        record, views[k], images[k] = held_out_views(k, size)
        records.append(asdict(record))
    np.save(cache / f"test-views-{size}.npy", views)
    np.save(cache / f"test-images-{size}.npy", images)
    write_json(cache / "test-objects.json", records)


def write_json(file: Path, records: list[dict]) -> None:
    """Write one record a line."""
    lines = ",\n".join(json.dumps(record) for record in records)
    file.write_text(f"[\n{lines}\n]\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cache", type=Path, default=default_cache() / "views", help="the folder to write into")
    parser.add_argument("--objects", type=int, default=OBJECTS, help=f"training objects (default: {OBJECTS})")
    parser.add_argument("--test-objects", type=int, default=TEST_OBJECTS, help=f"held-out objects ({TEST_OBJECTS})")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    write(arguments.cache, arguments.objects, arguments.test_objects)


if __name__ == "__main__":
    main()
