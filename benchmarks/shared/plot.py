"""Plots as SVG, written by hand: the benchmarks need no plotting library."""

from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 300, 210, 44
QUALITY, SPEED = "#2563eb", "#d97706"


@dataclass(frozen=True)
class Series:
    """One panel: its title and points (share dropped in percent, PSNR in dB, times as fast)."""

    title: str
    points: list[tuple[float, float, float]]


def write_plot(file: Path, panels: list[Series]) -> None:
    """Write quality (left axis) and speed (right axis) over the share of the context dropped, a panel a size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    width = len(panels) * (WIDTH + MARGIN)
    box = f'viewBox="0 0 {width} {HEIGHT + 40}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="11">'
    body = [f'<rect width="{width}" height="{HEIGHT + 40}" fill="white"/>']
    for i, panel in enumerate(panels):
        body += [f'<g transform="translate({i * (WIDTH + MARGIN)} 0)">', *draw(panel), "</g>"]
    body += [text(8, HEIGHT + 32, "PSNR, dB", QUALITY), text(80, HEIGHT + 32, "times as fast", SPEED)]
    body += [text(180, HEIGHT + 32, "over the share of keys and values dropped, %", "#333")]
    file.write_text("\n".join([head, *body, "</svg>"]) + "\n", "utf-8")


def draw(panel: Series) -> list[str]:
    """Return a panel's elements: frame, ticks, and two marks a point."""
    left, right, top, bottom = MARGIN, WIDTH, 26, HEIGHT - 20
    found = [text((left + right) / 2, 16, panel.title, "#111", "middle")]
    found.append(f'<path d="M{left} {top}V{bottom}H{right}V{top}" fill="none" stroke="#999"/>')

    def across(share: float) -> float:
        return left + share / 100 * (right - left)

    found += [text(across(x), bottom + 14, f"{x:g}", "#333", "middle") for x in (0, 25, 50, 75, 100)]
    for which, (colour, at, anchor) in enumerate(((QUALITY, left - 5, "end"), (SPEED, right + 5, "start"))):
        values = [point[1 + which] for point in panel.points]
        low, high = min(values), max(values)
        low, high = low - 0.1 * (high - low + 0.1), high + 0.1 * (high - low + 0.1)

        def up(value: float, low: float = low, high: float = high) -> float:
            return bottom - (value - low) / (high - low) * (bottom - top)

        found += [text(at, up(v) + 4, f"{v:.2f}", colour, anchor) for v in (low, (low + high) / 2, high)]
        for share, *pair in panel.points:
            found.append(f'<circle cx="{across(share):.1f}" cy="{up(pair[which]):.1f}" r="3.5" fill="{colour}"/>')
    return found


def text(x: float, y: float, content: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{content}</text>'
