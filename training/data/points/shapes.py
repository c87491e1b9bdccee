"""The shapes of the point data: kind, proportions and place, all from one seed, as points on their surfaces."""

from collections.abc import Callable
from random import Random

import numpy as np

from ..objects import kinds as views
from ..objects.solids import Solid
from . import kinds

LABELS = ("plane", "chair", "table", "lamp", "car", "ship", "mug", "house")
"""What the models of points know, in the order of their numbers."""

GREY = ((128, 128, 128),) * 3
Builder = Callable[[Random], Solid]


def as_seen(build: Callable[[Random, views.Colours], Solid]) -> Builder:
    """Return the builder of a multi-view object, whose colours do not count here."""
    return lambda chance: build(chance, GREY)


BUILDERS: dict[str, tuple[Builder, ...]] = {
    "plane": (as_seen(views.plane), kinds.plane),
    "chair": (as_seen(views.chair), kinds.chair),
    "table": (kinds.table,),
    "lamp": (as_seen(views.lamp), kinds.lamp),
    "car": (as_seen(views.car), kinds.car),
    "ship": (as_seen(views.ship), kinds.ship),
    "mug": (as_seen(views.mug), kinds.mug),
    "house": (as_seen(views.house), kinds.house),
}


def build(label: str, seed: str) -> Solid:
    """Return a shape of a label; the same for a seed."""
    chance = Random(f"points {label} {seed}")
    return chance.choice(BUILDERS[label])(chance)


def on_surface(triangles: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Return points (count, 3) spread evenly over triangles (F, 3, 3)."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    areas = np.linalg.norm(np.cross(ab, ac), axis=1)
    chosen = chance.choice(len(triangles), count, p=areas / areas.sum())
    u, v = chance.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return a[chosen] + u * ab[chosen] + v * ac[chosen]


def fitted(points: np.ndarray) -> np.ndarray:
    """Return points (N, 3) moved and scaled so that their box is centred and its longest side goes from -1 to 1."""
    low, high = points.min(0), points.max(0)
    return (points - (low + high) / 2) / ((high - low).max() / 2)


def cloud(label: str, seed: str, count: int) -> np.ndarray:
    """Return the point cloud (count, 3), float32, of a shape."""
    triangles, _ = build(label, seed).triangles()
    chance = np.random.default_rng(int.from_bytes(f"{label} {seed}".encode(), "big"))
    return fitted(on_surface(triangles, count, chance)).astype(np.float32)
