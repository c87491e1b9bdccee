"""What the demo checkpoint is meant to reach, and whether the measured tables do."""

from functools import partial
from typing import Any

from ...nextdit.layers.rope_scaling import TIME_AWARE_LATE

Sections = dict[str, list[dict[str, Any]]]
BICUBIC = "1× sample, bicubic"  # the row of samples enlarged
AGAIN = "1× sample, second pass"  # and the RoPE method: rows of samples enlarged and drawn over
SHARPENED = f"{TIME_AWARE_LATE},proportional"  # what `auto` takes on core's class
LANGUAGES, TWO, SPEED = "Languages, emoji and held-out names", "Two objects", "Speed"


def add_bar(rows: list[dict[str, Any]], what: str, wanted: float, measured: float, sign: str = "≥") -> None:
    """Add a row: what, at least, at most or less than how much is wanted, how much was measured, whether it is met."""
    met = {"≥": measured >= wanted, "≤": measured <= wanted, "<": measured < wanted}[sign]
    rows.append({"what": what, "aim": f"{sign} {wanted:.3g}", "measured": measured, "met": "yes" if met else "no"})


def size_bars(found: Sections) -> list[dict[str, Any]]:
    """Return the rows of the default method and of second passes at 2×, once it and bicubic were measured."""
    twice = {row["method"]: row for row in found.get("2×", ())}
    if TIME_AWARE_LATE not in twice or BICUBIC not in twice:
        return []
    rows: list[dict[str, Any]] = []
    bicubic = twice[BICUBIC]
    for name in (x for x in twice if x in (TIME_AWARE_LATE, SHARPENED) or x.startswith(AGAIN)):
        own = twice[name]
        add_bar(rows, f"2× ({name}): identity, %", 95, own["identity"]["value"])
        add_bar(rows, f"2× ({name}): exactly one object, %", 95, own["one object"]["value"])
        add_bar(rows, f"2× ({name}): GMSD − bicubic's, upper end of the interval", 0, own["above bicubic"]["high"], "<")
        add_bar(
            rows, f"2× ({name}): edge distance below bicubic's", bicubic["edges"]["value"], own["edges"]["value"], "<"
        )
    # the whole interval of the paired difference below the default's would be a method that is better than it
    published = {name: row for name, row in twice.items() if not name.startswith(("1×", TIME_AWARE_LATE))}
    better = [name for name, row in published.items() if row["above default"]["high"] < 0]
    what = f"2×: published methods whose GMSD is below {TIME_AWARE_LATE}'s by more than chance"
    add_bar(rows, what, 0, len(better), "≤")
    return rows


def bars(found: Sections) -> list[dict[str, Any]]:
    """Return one row a bar that the sections can answer: what, at least (or at most), measured, met."""
    rows: list[dict[str, Any]] = []
    bar = partial(add_bar, rows)
    if LANGUAGES in found:
        by = {row["prompts"]: row for row in found[LANGUAGES]}
        names = {x: row["identity"]["value"] for x, row in by.items() if x not in ("emoji", "held-out names")}
        bar("identity in English, %", 97, names["en"])
        bar("identity, mean of the languages, %", 95, sum(names.values()) / len(names))
        worst = min(names, key=lambda x: names[x])
        bar(f"identity in the worst language ({worst}), %", 90, names[worst])
        bar("identity, emoji as prompts, %", 97, by["emoji"]["identity"]["value"])
        if "held-out names" in by:
            bar("identity, held-out names, %", 50, by["held-out names"]["identity"]["value"])
        bar("PSNR in English, dB", 24, by["en"]["psnr"]["value"])
    if TWO in found:
        bar("two objects, English, both in order, %", 70, found[TWO][0]["both, in order"]["value"])
    if SPEED in found:
        bar("one picture, 10 steps with guidance, s", 3, found[SPEED][0]["seconds"], "<")
    return rows
