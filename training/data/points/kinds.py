"""Shapes of the point data that the multi-view objects lack: tables, and more kinds of all the others.

Every builder takes a source of chance; x points forward, y to the left and z up, in any unit.
"""

from itertools import pairwise
from math import cos, pi, sin
from random import Random

from ..objects.solids import Solid

ANY = (0, 0, 0)
"""The colour of parts whose colours nobody sees."""


def corners(length: float, width: float, inset: float) -> list[tuple[float, float]]:
    """Return the places of four legs."""
    return [(x * (length / 2 - inset), y * (width / 2 - inset)) for x in (-1, 1) for y in (-1, 1)]


def foot(solid: Solid, chance: Random, height: float, radius: float) -> None:
    """Add one leg in the middle: on a disc, or on three to five spokes."""
    solid.rod((0, 0, 0), (0, 0, height), chance.uniform(0.05, 0.09), ANY)
    if chance.random() < 0.5:
        solid.turned([(0, 0), (radius, 0), (radius * 0.8, 0.06), (0, 0.1)], (0, 0, 0), ANY)
        return
    spokes = chance.choice((3, 4, 5))
    for n in range(spokes):
        angle = 2 * pi * n / spokes
        solid.rod((0, 0, 0.12), (radius * cos(angle), radius * sin(angle), 0.03), 0.045, ANY)


def table(chance: Random) -> Solid:
    """A top, square or round, on four legs or one; with a shelf, drawers or neither."""
    length, width, height = chance.uniform(0.7, 1.1), chance.uniform(1.0, 2.0), chance.uniform(0.45, 0.95)
    thick, leg = chance.uniform(0.05, 0.12), chance.uniform(0.035, 0.07)
    solid, kind = Solid(), chance.random()
    if kind < 0.3:
        radius = chance.uniform(0.5, 0.8)
        solid.rod((0, 0, height), (0, 0, height + thick), radius, ANY)
        foot(solid, chance, height, radius * chance.uniform(0.4, 0.65))
        return solid
    solid.box((length, width, thick), (0, 0, height + thick / 2), ANY)
    if kind < 0.5:
        for y in (-1.0, 1.0):
            solid.box((length * 0.9, thick, height), (0, y * (width / 2 - 0.12), height / 2), ANY)
    else:
        lean = chance.choice((0.0, 0.0, 0.1))
        for x, y in corners(length, width, leg + 0.05):
            solid.rod((x * (1 + lean), y * (1 + lean), 0), (x, y, height), leg, ANY)
    if kind > 0.75:
        solid.box((length * 0.85, width * 0.85, thick * 0.6), (0, 0, height * chance.uniform(0.2, 0.4)), ANY)
    elif kind > 0.6:
        solid.box((length * 0.85, width * 0.3, height * 0.45), (0, width * 0.3, height * 0.77), ANY)
    return solid


def chair(chance: Random) -> Solid:
    """A stool chair with a round seat, an office chair on spokes, or an armchair of boxes."""
    solid, kind = Solid(), chance.random()
    if kind < 0.4:
        width, height, back = chance.uniform(0.8, 1.0), chance.uniform(0.6, 0.9), chance.uniform(0.7, 1.1)
        if chance.random() < 0.5:
            solid.rod((0, 0, height), (0, 0, height + 0.1), width / 2, ANY)
        else:
            solid.box((width, width, 0.1), (0, 0, height + 0.05), ANY)
        foot(solid, chance, height, width * 0.5)
        solid.box((0.09, width * 0.85, back * 0.7), (-width / 2, 0, height + back * 0.65), ANY)
        solid.box((0.07, 0.12, back * 0.4), (-width / 2, 0, height + back * 0.2), ANY)
        return solid
    if kind < 0.7:
        depth, width, height = chance.uniform(0.85, 1.0), chance.uniform(0.9, 1.2), chance.uniform(0.4, 0.55)
        solid.box((depth, width, height * 0.7), (0, 0, height * 0.65), ANY)
        solid.box((0.2, width, chance.uniform(0.6, 0.9)), (-depth / 2, 0, height + 0.25), ANY)
        for y in (-1.0, 1.0):
            solid.box((depth, 0.18, height * 1.4), (0, y * width / 2, height * 0.85), ANY)
        return solid
    width, height, back, leg = chance.uniform(0.75, 1.0), chance.uniform(0.7, 1.0), chance.uniform(0.8, 1.3), 0.05
    solid.box((width, width, 0.09), (0, 0, height), ANY)
    for x, y in corners(width, width, leg):
        solid.rod((x, y, 0), (x, y, height), leg, ANY)
    for n in range(rungs := chance.choice((2, 3, 4))):
        solid.box((0.06, width, 0.12), (-width / 2 + leg, 0, height + back * (n + 1) / rungs), ANY)
    for y in (-1.0, 1.0):
        solid.rod(
            (-width / 2 + leg, y * (width / 2 - leg), height),
            (-width / 2 + leg, y * (width / 2 - leg), height + back),
            leg,
            ANY,
        )
    return solid


def lamp(chance: Random) -> Solid:
    """A standing or a table lamp: base, upright, shade."""
    tall, wide = chance.uniform(1.2, 2.2), chance.uniform(0.3, 0.5)
    shade, top = chance.uniform(0.35, 0.6), chance.uniform(0.4, 1.0)
    solid = Solid()
    if chance.random() < 0.35:
        solid.ball((wide * 1.5, wide * 1.5, tall * 0.5), (0, 0, tall * 0.25), ANY)
    else:
        solid.turned([(0, 0), (wide, 0), (wide * 0.9, 0.06), (0, 0.1)], (0, 0, 0), ANY)
    solid.rod((0, 0, 0), (0, 0, tall), chance.uniform(0.03, 0.06), ANY)
    low = tall - shade * 0.3
    solid.turned([(wide * 1.25, low), (wide * 1.25 * top, low + shade)], (0, 0, 0), ANY)
    return solid


def mug(chance: Random) -> Solid:
    """A mug or a cup with a handle, open at the top."""
    low, high, tall = chance.uniform(0.3, 0.5), chance.uniform(0.4, 0.6), chance.uniform(0.7, 1.3)
    solid = Solid()
    solid.turned([(0, 0), (low, 0), (high, tall), (high - 0.06, tall), (low - 0.06, 0.08), (0, 0.08)], (0, 0, 0), ANY)
    size, middle = tall * chance.uniform(0.22, 0.34), (low + high) / 2
    places = [-pi / 2 + pi * n / 8 for n in range(9)]
    ring = [(0.0, middle - 0.03 + size * 1.1 * cos(a), tall * 0.5 + size * sin(a)) for a in places]
    for start, end in pairwise(ring):
        solid.rod(start, end, 0.06, ANY)
    return solid


def plane(chance: Random) -> Solid:
    """An airliner, a glider or a biplane: slender body, straight or swept wings high or low, engines or none."""
    length, fat, span = chance.uniform(1.8, 2.4), chance.uniform(0.2, 0.3), chance.uniform(0.8, 1.4)
    chord, sweep, lift = chance.uniform(0.25, 0.45), chance.uniform(0.0, 0.7), chance.choice((-0.08, 0.1))
    solid = Solid()
    solid.ball((length, fat, fat), (0, 0, 0), ANY)
    decks = (lift, lift + 0.35) if chance.random() < 0.2 else (lift,)
    for y in (-1, 1):
        for z in decks:
            root = [(x, 0, z + d) for x in (0.15, 0.15 - chord) for d in (-0.02, 0.02)]
            tip = [(x - sweep, y * span, z + d) for x in (0.1, 0.1 - chord * 0.5) for d in (-0.015, 0.015)]
            solid.hull(root + tip, ANY)
        for n in range(engines := chance.choice((0, 1, 2))):
            place = (n + 1) / (engines + 1.5)
            x = 0.15 - sweep * place
            solid.rod((x, y * span * place, lift - 0.08), (x - 0.28, y * span * place, lift - 0.08), 0.075, ANY)
        tail = [(x, 0, 0.04 + d) for x in (-length / 2 + 0.32, -length / 2 + 0.05) for d in (0, 0.03)]
        end = [(x, y * span * 0.38, 0.06) for x in (-length / 2 + 0.15, -length / 2)]
        solid.hull(tail + end, ANY)
    fin = [(x, d, 0.05) for x in (-length / 2 + 0.4, -length / 2 + 0.05) for d in (-0.02, 0.02)]
    solid.hull([*fin, *((x, 0, chance.uniform(0.35, 0.5)) for x in (-length / 2 + 0.12, -length / 2 - 0.05))], ANY)
    return solid


def car(chance: Random) -> Solid:
    """A bus or a lorry on four to six wheels."""
    length, width, wheel = chance.uniform(2.0, 2.6), chance.uniform(0.75, 0.95), chance.uniform(0.18, 0.24)
    height, solid = chance.uniform(0.7, 1.1), Solid()
    if chance.random() < 0.5:
        solid.box((length, width, height), (0, 0, wheel + height / 2), ANY)
    else:
        cab, gap = chance.uniform(0.45, 0.6), 0.08
        solid.box((cab, width, height * 0.75), ((length - cab) / 2, 0, wheel + height * 0.375), ANY)
        load = length - cab - gap
        solid.box((load, width, height * 0.9), ((load - length) / 2, 0, wheel + 0.12 + height * 0.45), ANY)
        solid.box((length, width * 0.6, 0.1), (0, 0, wheel + 0.05), ANY)
    places = chance.choice(((-0.33, 0.33), (-0.36, -0.18, 0.34)))
    for x in places:
        for y in (-1, 1):
            solid.rod((x * length, y * width / 2 - 0.08, wheel), (x * length, y * width / 2 + 0.08, wheel), wheel, ANY)
    return solid


def ship(chance: Random) -> Solid:
    """A sailing boat with one or two masts, or a flat freighter with containers."""
    half, side, depth = chance.uniform(0.9, 1.2), chance.uniform(0.22, 0.36), chance.uniform(0.2, 0.32)
    deck = [(-half, -side * 0.8), (-half, side * 0.8), (half * 0.3, side), (half * 0.3, -side)]
    keel = [(x * 0.85, y * 0.4, 0.0) for x, y in deck] + [(half * 0.6, 0.0, 0.0)]
    solid = Solid()
    solid.hull([(x, y, depth) for x, y in deck] + [(half, 0.0, depth + 0.08)] + keel, ANY)
    if chance.random() < 0.5:
        solid.box((0.3, side * 1.4, chance.uniform(0.4, 0.6)), (-half * 0.8, 0, depth + 0.25), ANY)
        for n in range(rows := chance.choice((2, 3))):
            solid.box((half / rows, side * 1.4, 0.28), (-half * 0.3 + n * 1.15 * half / rows, 0, depth + 0.14), ANY)
        return solid
    for n in range(masts := chance.choice((1, 2))):
        x, tall = half * (0.15 if masts == 1 else 0.4 - 0.8 * n), chance.uniform(1.2, 1.7) * (1 - 0.2 * n)
        solid.rod((x, 0, depth), (x, 0, depth + tall), 0.035, ANY)
        back = [(x - 0.05, 0.0, depth + 0.2), (x - 0.05, 0.0, depth + tall), (x - half * 0.7, 0.12, depth + 0.2)]
        solid.hull([(a, b + d, c) for a, b, c in back for d in (-0.01, 0.01)], ANY)
    return solid


def house(chance: Random) -> Solid:
    """A house with a roof to all four sides and maybe a wing or a tower, or a block of flats."""
    depth, width, height = chance.uniform(0.8, 1.2), chance.uniform(0.9, 1.6), chance.uniform(0.6, 0.9)
    solid = Solid()
    if chance.random() < 0.3:
        tall = chance.uniform(1.4, 2.0)
        solid.box((depth, width, tall), (0, 0, tall / 2), ANY)
        solid.box((depth * 1.06, width * 1.06, 0.08), (0, 0, tall), ANY)
        for n in range(1, 4):
            solid.box((0.2, width * 0.6, 0.06), (depth / 2 + 0.1, 0, tall * n / 4), ANY)
        return solid
    solid.box((depth, width, height), (0, 0, height / 2), ANY)
    eaves = [(x * (depth / 2 + 0.1), y * (width / 2 + 0.1), height) for x in (-1, 1) for y in (-1, 1)]
    ridge, peak = max(0.0, width - depth) / 2, chance.uniform(0.35, 0.6)
    solid.hull(eaves + [(0.0, y * ridge, height + peak) for y in (-1, 1)] + [(0.0, 0.01, height + peak)], ANY)
    if chance.random() < 0.5:
        tower, place = chance.uniform(0.3, 0.4), chance.choice((-1, 1)) * width / 2
        solid.box((tower, tower, height * 1.6), (depth / 2, place, height * 0.8), ANY)
        tip = [(depth / 2, place, height * 2.1)]
        base = [(depth / 2 + x * tower * 0.6, place + y * tower * 0.6, height * 1.6) for x in (-1, 1) for y in (-1, 1)]
        solid.hull(base + tip, ANY)
    return solid
