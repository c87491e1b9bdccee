"""The same concepts drawn by different hands: sets of emoji that npm packages hold, matched by name."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..emoji import sources
from ..emoji.concepts import EMOJI

STYLES = {
    "noto": "@iconify-json/noto@1.2.9",  # Apache-2.0
    "twemoji": "@iconify-json/twemoji@1.2.5",  # CC-BY-4.0
    "fluent-flat": "@iconify-json/fluent-emoji-flat@1.2.6",  # MIT
    "fluent": "@iconify-json/fluent-emoji@1.2.7",  # MIT
    "emojione": "@iconify-json/emojione@1.2.3",  # CC-BY-4.0
    "fxemoji": "@iconify-json/fxemoji@1.2.2",  # Apache-2.0
}
HELD_OUT = "noto"
"""The style of the test, which training never sees: the one in which the pack's own text to image draws."""
PARTIAL = "fxemoji"
"""Lacks many concepts, and joins the words of names."""

KINDS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
SAME = ("clock", "o-clock", "thirty")  # faces of clocks differ in their hands only


@dataclass(frozen=True)
class Concept:
    """An emoji and its SVG by style."""

    emoji: str
    svg: Mapping[str, str]


def read(cache: Path) -> dict[str, tuple[dict, dict]]:
    """Return every style's icons and metadata as its package has them, downloaded into `cache` on the first call."""
    found = {}
    for style, package in STYLES.items():
        folder = sources.fetch_package(package, cache / f"style-{style}")
        icons, about = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("icons", "metadata"))
        found[style] = icons, about
    return found


def drawing(icons: dict, name: str) -> str | None:
    """Return the whole SVG of an icon of a set, None if the set has none of that name."""
    icon = icons["icons"].get(icons.get("aliases", {}).get(name, {}).get("parent", name))
    if icon is None:
        return None
    left, top, width, height = (
        icon.get(key, icons.get(key, default))
        for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )


def concepts(cache: Path) -> list[Concept]:
    """Return the concepts that every style but PARTIAL has, in a fixed order: things, and the demo's EMOJI."""
    sets = read(cache)
    noto, about = sets[HELD_OUT]
    kind_of = {name: kind for kind, names in about["categories"].items() for name in names}
    return [
        Concept(emoji, svg)
        for emoji, name in sorted(named(cache / f"style-{HELD_OUT}", noto))
        if emoji in EMOJI or (kind_of.get(name) in KINDS and not any(word in name for word in SAME))
        if (svg := drawings(sets, name)) is not None
    ]


def named(folder: Path, icons: dict) -> Iterator[tuple[str, str]]:
    """Yield each emoji without skin tones, and its name in the set that lies in a folder."""
    codes = json.loads((folder / "package" / "chars.json").read_text("utf-8"))
    seen = set()
    for code, name in sorted(codes.items()):
        emoji = "".join(chr(int(point, 16)) for point in code.split("-")).replace(sources.VARIATION, "")
        if name in icons["icons"] and not sources.SKIN_TONES & set(code.split("-")) and emoji not in seen:
            seen.add(emoji)
            yield emoji, name


def drawings(sets: Mapping[str, tuple[dict, dict]], name: str) -> dict[str, str] | None:
    """Return a concept's SVG by style, None unless every style but PARTIAL has it."""
    found = {}
    for style, (icons, _) in sets.items():
        svg = drawing(icons, name.replace("-", "") if style == PARTIAL else name)
        if svg is not None:
            found[style] = svg
        elif style != PARTIAL:
            return None
    return found
