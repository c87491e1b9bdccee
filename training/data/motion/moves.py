"""Eight ways to move at three speeds, as tracks of a picture's centre, size and angle through a clip."""

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

STILL = "still"
MOVES = ("left", "right", "up", "down", "turn", "grow", "shrink", "bounce")
SPEEDS = ("slow", "", "fast")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

DISTANCE = {"slow": 0.16, "": 0.27, "fast": 0.38}  # of the canvas, from the first frame to the last
TURN = {"slow": 75.0, "": 150.0, "fast": 280.0}  # degrees clockwise
RATIO = {"slow": 1.35, "": 1.7, "fast": 2.2}  # of the last size to the first
HOPS = {"slow": 1, "": 2}  # three in eight frames would not be seen as such
HEIGHT = 0.3
SIZE = 0.6  # of the picture's side to the canvas's, halfway


def speeds(kind: str) -> tuple[str, ...]:
    """Return the speeds at which a way to move comes."""
    return {STILL: ("",), "bounce": tuple(HOPS)}.get(kind, SPEEDS)


@dataclass(frozen=True)
class Track:
    """Where a picture is in each of F frames, (F,) each: centre x (right), y (down) and side in canvas sides, angle.

    The centre counts from the canvas's, the angle in degrees clockwise.
    """

    x: Tensor
    y: Tensor
    size: Tensor
    angle: Tensor


def track(kind: str, speed: str, places: Tensor, chance: random.Random | None = None) -> Track:
    """Return the track of a way to move (or STILL) at places (F,) in the clip, 0 to 1; with `chance` a little off.

    Raises ValueError on a way or a speed that there is not.
    """
    if kind not in (*MOVES, STILL) or speed not in speeds(kind):
        raise ValueError(f"there is no way to move {kind!r} at the speed {speed!r}; known: {', '.join(MOVES)}")
    nothing = torch.zeros_like(places)
    x, y, size, angle = nothing, nothing, nothing + SIZE, nothing
    halfway = places - 0.5
    if kind in DIRECTIONS:
        across, along = DIRECTIONS[kind]
        x, y = across * DISTANCE[speed] * halfway, along * DISTANCE[speed] * halfway
    elif kind == "turn":
        angle = TURN[speed] * places
    elif kind in ("grow", "shrink"):
        size = SIZE * RATIO[speed] ** (halfway if kind == "grow" else -halfway)
    elif kind == "bounce":
        y = HEIGHT * (0.5 - (math.pi * HOPS[speed] * places).sin().abs())
    if chance is None:
        return Track(x, y, size, angle)
    aside = 0.06 if kind in DIRECTIONS else 0.03
    free = [0.02 if moved else aside for moved in (kind in ("left", "right"), kind in ("up", "down", "bounce"))]
    x, y = (value + chance.uniform(-1, 1) * most for value, most in zip((x, y), free, strict=True))
    return Track(x, y, size * chance.uniform(0.94, 1.06), angle)
