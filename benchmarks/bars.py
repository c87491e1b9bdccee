"""What the demo checkpoint is meant to reach, and whether the measured tables do."""

from typing import Any

Sections = dict[str, list[dict[str, Any]]]
LANGUAGES, TWO, LARGER, SPEED = "Languages, emoji and held-out names", "Two objects", "Larger sizes", "Speed"


def bars(found: Sections) -> list[dict[str, Any]]:
    """Return one row a bar that the sections can answer: what, at least (or at most), measured, met."""
    rows = []

    def bar(what: str, wanted: float, measured: float, sign: str = "≥") -> None:
        met = measured >= wanted if sign == "≥" else measured < wanted
        rows.append({"what": what, "bar": f"{sign} {wanted:g}", "measured": measured, "met": "yes" if met else "no"})

    if LANGUAGES in found:
        by = {row["prompts"]: row for row in found[LANGUAGES]}
        names = {x: row["identity"]["value"] for x, row in by.items() if x not in ("emoji", "held-out names")}
        bar("identity in English, %", 97, names["en"])
        bar("identity, mean of the languages, %", 95, sum(names.values()) / len(names))
        worst = min(names, key=lambda x: names[x])
        bar(f"identity in the worst language ({worst}), %", 90, names[worst])
        bar("identity, emoji as prompts, %", 97, by["emoji"]["identity"]["value"])
        bar("identity, held-out names, %", 50, by["held-out names"]["identity"]["value"])
        bar("PSNR in English, dB", 24, by["en"]["psnr"]["value"])
    if TWO in found:
        bar("two objects, English, both in order, %", 70, found[TWO][0]["both, in order"]["value"])
    if LARGER in found:
        twice = {row["method"]: row for row in found[LARGER] if row["size"] == "2×"}
        bicubic = twice.pop("1× sample, bicubic")
        twice.pop("1× sample, nearest")
        best = max(twice, key=lambda x: (twice[x]["identity"]["value"], twice[x]["psnr"]["value"]))
        bar(f"2× ({best}): identity, %", 95, twice[best]["identity"]["value"])
        bar(f"2× ({best}): exactly one object, %", 95, twice[best]["one object"]["value"])
        bar(
            f"2× ({best}): GMSD below bicubic's",
            bicubic["perceptual"]["value"],
            twice[best]["perceptual"]["value"],
            "<",
        )
    if SPEED in found:
        bar("one picture, 10 steps with guidance, s", 3, found[SPEED][0]["seconds"], "<")
    return rows
