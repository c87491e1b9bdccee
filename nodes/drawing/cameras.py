"""Camera azimuths as the text that travels between nodes: "0, 45, 90", in degrees."""

import math
import re

SEPARATORS = r"[\s,;，、；]+"  # the full-width ones are what Chinese and Japanese keyboards type


def parse_azimuths(text: str) -> tuple[float, ...]:
    """Return the azimuths in a text, in degrees, one a view; commas, semicolons and blanks separate them.

    Raises ValueError, naming the piece, for what is no finite number, and for a text without any.
    """
    pieces = [piece for piece in re.split(SEPARATORS, text) if piece]
    if not pieces:
        raise ValueError('azimuths is empty; write one number of degrees a view, such as "0, 90, 180, 270"')
    return tuple(_degrees(piece, number) for number, piece in enumerate(pieces, 1))


def _degrees(piece: str, number: int) -> float:
    try:
        value = float(piece.removesuffix("°"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"azimuths: {piece!r}, number {number}, is no number of degrees; write numbers with a decimal point, such "
            'as "0, 22.5, 45", separated by commas, semicolons or blanks'
        )
    return value


def ring(views: int, first: float = 0.0, span: float = 360.0, clockwise: bool = False) -> tuple[float, ...]:
    """Return evenly spaced azimuths in [0, 360), in degrees, `clockwise` or not as seen from above.

    A `span` of 360 is a closed ring, whose end is its beginning and does not come twice; a shorter one is an arc with a
    camera at both ends. Raises ValueError for no views and a span outside of 0 to 360.
    """
    if views < 1 or not 0.0 <= span <= 360.0:
        raise ValueError(f"a ring needs at least 1 view and a span of 0 to 360 degrees, got {views} and {span:g}")
    gaps = views if span == 360.0 else max(1, views - 1)
    step = (-span if clockwise else span) / gaps
    return tuple(round((first + i * step) % 360.0, 4) % 360.0 for i in range(views))


def azimuth_text(azimuths: tuple[float, ...]) -> str:
    """Return azimuths as `parse_azimuths` reads them."""
    return ", ".join(f"{azimuth:.10g}" for azimuth in azimuths)
