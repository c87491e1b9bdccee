"""The families of objects: each builds one, of random proportions, in three colours, different from every side.

Every builder takes a source of chance and the colours of its (first, second, third) parts; objects face along x.
"""

from random import Random

import numpy as np
import trimesh

from .solids import Colour, Solid

Colours = tuple[Colour, Colour, Colour]

GLASS, DARK, CREAM, WOOD, BRICK, STEEL = (
    (120, 170, 205),
    (38, 38, 42),
    (255, 244, 190),
    (205, 170, 120),
    (160, 95, 75),
    (175, 180, 186),
)
PALE, RED_LIGHT = (238, 238, 232), (225, 25, 25)
TRUNK, LEAVES = (110, 76, 48), (96, 168, 62)


def chair(chance: Random, colours: Colours) -> Solid:
    """Seat and back, legs, cushion; with arms or without, the back whole or of slats."""
    main, legs, cushion = colours
    depth, width, height = chance.uniform(0.85, 1.05), chance.uniform(0.85, 1.1), chance.uniform(0.6, 0.95)
    back, thick, leg = chance.uniform(0.8, 1.2), chance.uniform(0.1, 0.16), chance.uniform(0.05, 0.08)
    solid = Solid()
    solid.box((depth, width, thick), (0, 0, height), main)
    solid.ball((depth * 0.85, width * 0.85, 0.24), (0.03, 0, height + thick / 2), cushion)
    if chance.random() < 0.5:
        solid.box((thick, width, back), (-depth / 2, 0, height + back / 2), main)
    else:
        solid.box((thick, width, 0.28), (-depth / 2, 0, height + back - 0.14), main)
        for y in (-0.42, -0.14, 0.14, 0.42):
            solid.box((thick * 0.8, width * 0.15, back), (-depth / 2, y * width, height + back / 2), main)
    for x in (-depth / 2 + leg, depth / 2 - leg):
        for y in (-width / 2 + leg, width / 2 - leg):
            solid.rod((x, y, 0), (x, y, height), leg, legs)
    if chance.random() < 0.4:
        for y in (-width / 2, width / 2):
            solid.box((depth, 0.09, 0.09), (0, y, height + 0.42), legs)
            solid.rod((depth / 2 - leg, y, height), (depth / 2 - leg, y, height + 0.42), 0.045, legs)
    return solid


def lamp(chance: Random, colours: Colours) -> Solid:
    """A desk lamp: shade, base and a bent arm; the shade looks forward and down."""
    shade, base, arm = colours
    lean, rise, reach = chance.uniform(0.3, 0.5), chance.uniform(0.8, 1.05), chance.uniform(0.75, 1.0)
    radius, thick = chance.uniform(0.38, 0.5), chance.uniform(0.055, 0.075)
    elbow = (-lean, 0, rise)
    tip = (-lean + reach, 0, rise + chance.uniform(0.3, 0.5))
    axis = (chance.uniform(0.5, 0.9), 0, -0.8)
    solid = Solid()
    solid.turned([(0, 0), (radius + 0.08, 0), (radius + 0.05, 0.14), (0, 0.18)], (0, 0, 0), base)
    solid.box((0.14, 0.14, 0.08), (0.28, -0.12, 0.18), PALE)
    solid.rod((0, 0, 0.1), elbow, thick, arm)
    solid.ball((thick * 4, thick * 4, thick * 4), elbow, base)
    solid.rod(elbow, tip, thick, arm)
    wide = chance.uniform(0.4, 0.48)
    solid.turned([(0, -0.1), (0.13, -0.1), (0.16, 0.08), (wide, 0.5)], tip, shade, axis)
    solid.turned([(wide - 0.03, 0.49), (0.1, 0.1), (0, 0.1)], tip, CREAM, axis)
    along = np.array(axis) / np.linalg.norm(axis)
    solid.ball((0.26, 0.26, 0.26), tuple(np.array(tip) + 0.34 * along), CREAM)
    return solid


def car(chance: Random, colours: Colours) -> Solid:
    """Body, roof, hubs; headlights in front, red lights and a plate behind; from a pickup to a van."""
    body, roof, hub = colours
    length, width, wheel = chance.uniform(1.9, 2.3), chance.uniform(0.85, 1.0), chance.uniform(0.21, 0.27)
    low, high, cabin = wheel * 0.8, wheel * 0.8 + chance.uniform(0.36, 0.46), chance.uniform(0.34, 0.46)
    half, side = length / 2, width / 2
    back, front = half * chance.choice((-0.9, -0.7, -0.15)), half * chance.uniform(0.3, 0.45)
    solid = Solid()
    solid.hull(
        [(x, y, z) for x in (-half, half) for y in (-side, side) for z in (low, high - 0.1)]
        + [(x, y, high) for x in (-half + 0.05, half * 0.5) for y in (-side, side)],
        body,
    )
    lower = [(x, y, high - 0.02) for x in (back, front) for y in (-side * 0.95, side * 0.95)]
    upper = [(x, y, high + cabin) for x in (back + 0.1, front - 0.3) for y in (-side * 0.82, side * 0.82)]
    solid.hull(lower + upper, (72, 92, 112))
    pane = [(front + 0.02, t * 0.88, high) for t in (-side, side)]
    pane += [(front - 0.28, t * 0.76, high + cabin - 0.03) for t in (-side, side)]
    solid.hull(pane + [(x - 0.08, y, z) for x, y, z in pane], (178, 222, 245))
    solid.box((front - back - 0.36, width * 0.86, 0.1), ((front + back - 0.2) / 2, 0, high + cabin + 0.03), roof)
    for y in (-side, side):
        for x in (-half * 0.6, half * 0.6):
            solid.wheel(wheel, 0.2, (x, y, wheel), DARK, hub)
        solid.ball((0.16, 0.24, 0.2), (half, y * 0.68, high - 0.2), CREAM)
        solid.box((0.08, 0.2, 0.26), (-half, y * 0.76, high - 0.2), RED_LIGHT)
    solid.box((0.06, width * 0.4, 0.14), (half, 0, low + 0.1), DARK)
    solid.box((0.06, width * 0.4, 0.15), (-half, 0, low + 0.14), PALE)
    return solid


def plane(chance: Random, colours: Colours) -> Solid:
    """Fuselage, wings with engines, tail; a cockpit in front."""
    body, wing, tail = colours
    span, chord, sweep = chance.uniform(0.95, 1.15), chance.uniform(0.5, 0.66), chance.uniform(0.1, 0.5)
    fat, height = chance.uniform(0.46, 0.6), chance.uniform(0.5, 0.7)
    solid = Solid()
    solid.ball((2.1, fat, fat * 1.05), (0.1, 0, 0), body)
    solid.ball((0.5, fat * 0.72, 0.26), (0.72, 0, fat * 0.3), (60, 80, 105))
    solid.ball((0.2, 0.2, 0.2), (1.16, 0, 0), DARK)
    for y in (-1, 1):
        root = [(x, 0, z) for x in (0.35, 0.35 - chord * 1.2) for z in (-0.1, 0.04)]
        tip = [(x - sweep, y * span, z + 0.08) for x in (0.2, 0.2 - chord * 0.6) for z in (-0.04, 0.03)]
        solid.hull(root + tip, wing)
        solid.rod((0.38 - sweep * 0.4, y * span * 0.45, -0.1), (0.0 - sweep * 0.4, y * span * 0.45, -0.1), 0.14, DARK)
        root = [(x, 0, z) for x in (-0.65, -1.0) for z in (0.02, 0.1)]
        tip = [(x, y * span * 0.42, z) for x in (-0.88, -1.1) for z in (0.04, 0.1)]
        solid.hull(root + tip, tail)
    solid.hull(
        [(-0.5, y, 0.05) for y in (-0.06, 0.06)]
        + [(x, y, z) for x, z in ((-0.95, 0.02), (-0.85, height), (-1.12, height)) for y in (-0.055, 0.055)],
        tail,
    )
    return solid


def dog(chance: Random, colours: Colours) -> Solid:
    """Body, ears and tail, collar; a nose and two eyes in front."""
    coat, ears, collar = colours
    length, girth, leg = chance.uniform(1.1, 1.5), chance.uniform(0.48, 0.66), chance.uniform(0.4, 0.7)
    head, neck = chance.uniform(0.5, 0.62), chance.uniform(0.2, 0.45)
    front, top = length / 2, leg + girth / 2
    solid = Solid()
    solid.ball((length * 1.15, girth, girth), (0, 0, top), coat)
    for x in (-length * 0.33, length * 0.33):
        for y in (-girth * 0.3, girth * 0.3):
            solid.rod((x, y, 0), (x, y, top), 0.1, coat)
            solid.ball((0.28, 0.2, 0.14), (x + 0.05, y, 0.05), ears)
    face = (front + 0.12, 0, top + girth * 0.3 + neck)
    solid.rod((front - 0.22, 0, top + 0.05), face, 0.16, coat)
    solid.rod((front - 0.16, 0, top + girth * 0.22), (front + 0.06, 0, face[2] - head * 0.3), 0.26, collar)
    solid.ball((head, head, head), face, coat)
    solid.ball((0.42, 0.3, 0.26), (face[0] + head * 0.5, 0, face[2] - 0.08), coat)
    solid.ball((0.14, 0.16, 0.13), (face[0] + head * 0.5 + 0.2, 0, face[2] - 0.02), DARK)
    hang, long = chance.uniform(-0.3, 0.15), chance.uniform(0.34, 0.48)
    for y in (-1, 1):
        solid.ball((0.1, 0.1, 0.1), (face[0] + head * 0.4, y * head * 0.26, face[2] + head * 0.2), DARK)
        solid.ball((0.24, 0.13, long), (face[0] - 0.06, y * head * 0.48, face[2] + head * 0.3 + hang), ears)
    solid.rod((-front, 0, top + 0.1), (-front - 0.3, 0, top + chance.uniform(0.3, 0.6)), 0.08, ears)
    return solid


def mug(chance: Random, colours: Colours) -> Solid:
    """Body, handle to the left, label in front; a spoon leans out to the right."""
    body, handle, label = colours
    low, high, tall = chance.uniform(0.38, 0.5), chance.uniform(0.46, 0.56), chance.uniform(0.9, 1.2)
    solid = Solid()
    solid.turned([(0, 0), (low, 0), (high, tall), (high - 0.06, tall)], (0, 0, 0), body)
    solid.turned([(high - 0.06, tall), (high - 0.07, tall - 0.14)], (0, 0, 0), PALE)
    solid.turned([(high - 0.06, tall - 0.14), (0, tall - 0.14)], (0, 0, 0), (92, 58, 38))
    size = tall * chance.uniform(0.26, 0.32)
    ring = trimesh.creation.torus(size, chance.uniform(0.075, 0.1), major_sections=32, minor_sections=12)
    upright = trimesh.transformations.rotation_matrix(np.pi / 2, (0, 1, 0))
    solid.add(ring.apply_transform(upright), handle, (0, (low + high) / 2 + size * 0.45, tall * 0.52))
    angle, near, far = np.radians(chance.uniform(75, 100)), 0.2, 0.75
    rim = [(low + (high - low) * part + 0.02, tall * part) for part in (near, far)]
    patch = trimesh.creation.revolve(rim, angle=angle, sections=12)
    solid.add(patch.apply_transform(trimesh.transformations.rotation_matrix(-angle / 2, (0, 0, 1))), label)
    end = (-0.15, -high - chance.uniform(0.05, 0.15), tall + chance.uniform(0.25, 0.35))
    solid.rod((0, 0.1, tall - 0.3), end, 0.05, STEEL)
    solid.ball((0.16, 0.16, 0.24), end, STEEL)
    return solid


def house(chance: Random, colours: Colours) -> Solid:
    """Walls, gable roof, door in front; a chimney behind, and a tree to the right."""
    wall, roof, door = colours
    depth, width, height = chance.uniform(1.0, 1.4), chance.uniform(1.0, 1.5), chance.uniform(0.7, 1.05)
    peak, over, along = chance.uniform(0.4, 0.7), 0.1, chance.random() < 0.5
    x, y = depth / 2, width / 2
    solid = Solid()
    solid.box((depth, width, height), (0, 0, height / 2), wall)
    if along:  # the ridge runs from front to back, and the gables are walls
        solid.hull([(s, t, height) for s in (-x, x) for t in (-y, y)] + [(s, 0, height + peak) for s in (-x, x)], wall)
        ridge = [(s, 0.0, height + peak + 0.05) for s in (-x - over, x + over)]
    else:
        solid.hull([(s, t, height) for s in (-x, x) for t in (-y, y)] + [(0, t, height + peak) for t in (-y, y)], wall)
        ridge = [(0.0, t, height + peak + 0.05) for t in (-y - over, y + over)]
    for sign in (-1, 1):
        if along:
            eaves = [(s, sign * (y + over), height - 0.08) for s in (-x - over, x + over)]
        else:
            eaves = [(sign * (x + over), t, height - 0.08) for t in (-y - over, y + over)]
        solid.hull([(a, b, c + lift) for a, b, c in ridge + eaves for lift in (0, 0.09)], roof)
    solid.box((0.06, 0.3, height * 0.68), (x, -y * 0.4, height * 0.34), door)
    solid.box((0.06, 0.34, 0.3), (x, y * 0.5, height * 0.55), GLASS)
    for place in (-0.5, 0.5):
        solid.box((0.32, 0.06, 0.3), (x * place, y, height * 0.55), GLASS)
    solid.box((0.34, 0.06, 0.3), (-x * 0.3, -y, height * 0.55), GLASS)
    solid.box((0.2, 0.2, peak + 0.35), (-x * 0.55, -y * 0.5, height + (peak + 0.35) / 2), BRICK)
    tree, crown = (x * 0.5, -y - 0.42), chance.uniform(0.5, 0.62)
    solid.rod((*tree, 0), (*tree, 0.6), 0.07, TRUNK)
    solid.ball((crown, crown, crown * 1.3), (*tree, 0.5 + crown * 0.5), LEAVES)
    return solid


def ship(chance: Random, colours: Colours) -> Solid:
    """Hull, cabin, funnel; the cabin stands behind and has windows in front, a mast before it."""
    hull, cabin, funnel = colours
    half, side, depth = chance.uniform(1.05, 1.25), chance.uniform(0.34, 0.46), chance.uniform(0.34, 0.46)
    size, height = chance.uniform(0.65, 0.9), chance.uniform(0.32, 0.45)
    solid = Solid()
    deck = [(-half, -side), (-half, side), (half * 0.45, side), (half * 0.45, -side)]
    keel = [(x * 0.9, y * 0.6, 0.0) for x, y in deck] + [(half * 0.75, 0.0, 0.0)]
    solid.hull([(x, y, depth) for x, y in deck] + [(half, 0.0, depth + 0.12)] + keel, hull)
    solid.hull([(x * 0.97, y * 0.9, depth + z) for x, y in deck for z in (-0.02, 0.03)], WOOD)
    x, top = -half * 0.45, depth + height
    solid.box((size, side * 1.4, height), (x, 0, depth + height / 2), cabin)
    solid.box((size * 0.5, side * 1.2, height * 0.7), (x + size * 0.1, 0, top + height * 0.35), cabin)
    solid.box((0.06, side, height * 0.34), (x + size * 0.35, 0, top + height * 0.4), DARK)
    for y in (-1, 1):
        for place in (-0.28, 0.0, 0.28):
            solid.ball((0.14, 0.06, 0.14), (x + size * place, y * side * 0.7, depth + height * 0.55), GLASS)
    tall = chance.uniform(0.35, 0.5)
    foot = (x - size * 0.32, 0, top)
    solid.rod(foot, (foot[0] - 0.06, 0, top + height * 0.3 + tall), 0.15, funnel)
    solid.rod(
        (foot[0] - 0.05, 0, top + height * 0.3 + tall - 0.02),
        (foot[0] - 0.07, 0, top + height * 0.3 + tall + 0.1),
        0.16,
        DARK,
    )
    mast = half * 0.4
    solid.rod((mast, 0, depth), (mast, 0, depth + 0.85), 0.04, STEEL)
    solid.box((0.3, 0.04, 0.2), (mast - 0.15, 0, depth + 0.75), RED_LIGHT)
    solid.ball((0.2, side * 1.3, 0.2), (-half + 0.05, 0, depth), PALE)
    return solid
