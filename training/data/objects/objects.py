"""The objects of the multi-view data: family, proportions, colours and captions, all from one seed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import trimesh

from . import kinds as families
from .solids import Solid

COLOURS = {
    "red": (218, 44, 40),
    "orange": (242, 138, 28),
    "yellow": (246, 212, 48),
    "green": (58, 160, 70),
    "turquoise": (48, 188, 192),
    "blue": (48, 90, 208),
    "purple": (136, 70, 178),
    "pink": (242, 140, 182),
    "brown": (134, 86, 50),
    "gray": (142, 145, 150),
    "black": (52, 52, 57),
}
HELD_OUT = 0.1
HEADING = 30.0  # degrees that objects are turned counter-clockwise: azimuth 0° shows front and left side


@dataclass(frozen=True)
class Family:
    """How one kind of object is built, and what its second and third part are called."""

    build: Callable[[Random, families.Colours], Solid]
    second: str
    third: str


FAMILIES = {
    "chair": Family(families.chair, "{} legs", "{} cushion"),
    "lamp": Family(families.lamp, "{} base", "{} arm"),
    "car": Family(families.car, "{} roof", "{} wheels"),
    "plane": Family(families.plane, "{} wings", "{} tail"),
    "dog": Family(families.dog, "{} ears", "{} collar"),
    "mug": Family(families.mug, "{} handle", "{} label"),
    "house": Family(families.house, "{} roof", "{} door"),
    "ship": Family(families.ship, "{} cabin", "{} funnel"),
}


@dataclass(frozen=True)
class ObjectRecord:
    """What objects.json says of one object; `captions` goes from the longest to the shortest."""

    family: str
    caption: str
    captions: tuple[str, ...]
    colours: tuple[str, str, str]
    seed: str


def is_held_out(family: str, first: str, second: str) -> bool:
    """Tell whether training must never see this family in these two colours. Depends on nothing else."""
    digest = hashlib.sha256(f"{family} {first} {second}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT


def with_article(words: str) -> str:
    """Return "a red chair", "an orange chair", and plurals as they are."""
    if words.endswith(("legs", "wheels", "wings", "ears")):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def describe(family: str, colours: tuple[str, str, str]) -> tuple[str, ...]:
    """Return captions from the longest to the shortest, each true."""
    first, second, third = colours
    kind = FAMILIES[family]
    whole = with_article(f"{first} {family}")
    one, two = with_article(kind.second.format(second)), with_article(kind.third.format(third))
    return (f"{whole} with {one} and {two}", f"{whole} with {one}", f"{whole} with {two}", whole, family)


def draw(index: int, held_out: bool) -> ObjectRecord:
    """Return object `index` of the training or the held-out objects; the families take turns."""
    seed = f"{'test' if held_out else 'train'} {index}"
    chance = Random(f"colours {seed}")
    family = tuple(FAMILIES)[index % len(FAMILIES)]
    while True:
        first, second, third = chance.sample(tuple(COLOURS), 3)
        if is_held_out(family, first, second) == held_out:
            break
    captions = describe(family, (first, second, third))
    return ObjectRecord(family, captions[1], captions, (first, second, third), seed)


def build(record: ObjectRecord) -> tuple[np.ndarray, np.ndarray]:
    """Return the object's triangles (F, 3, 3) in the unit sphere and their uint8 colours (F, 3)."""
    first, second, third = (COLOURS[name] for name in record.colours)
    solid = FAMILIES[record.family].build(Random(f"shape {record.seed}"), (first, second, third))
    triangles, colours = solid.triangles()
    turn = trimesh.transformations.rotation_matrix(np.radians(HEADING), (0, 0, 1))[:3, :3]
    return triangles @ turn.T, colours
