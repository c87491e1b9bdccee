"""Which RoPE method is best for a model, by its family: what `auto` means."""

from dataclasses import dataclass

MEASURED = 16, 64
"""Positions per axis of the networks that were trained for this pack; benchmarks/notes/larger_sizes.md."""

IN_LINE = {"lumina_t2i": "Lumina-T2I", "flag_dit": "Lumina-T2I"}
"""Families whose positions count patches in one line → whose demo says how to scale them."""

JOINT = ("lumina_image_2",)
"""Families whose text and image share one attention, and of which a network was measured: there attention made sharper
by the number of tokens wins with every number of positions; benchmarks/notes/joint.md."""

AUDIO = "audio"
"""Models of sound: twice as long as in training, plain positions fade away; benchmarks/notes/sounds.md."""


@dataclass(frozen=True)
class Choice:
    """A method, why, whether proportional attention goes with it, and the watershed if it has one of its own."""

    method: str
    why: str
    proportional: bool = False
    watershed: float | None = None


def choose(family: str | None, positions: int) -> Choice:
    """Return the method for a family, a key of train_size.NATIVE, AUDIO or None, and its positions in training.

    Lumina-Next as its makers' demos run it; all else what was best on models trained here, whose positions reach those
    of the released models of 1024 pixels. Positions are those of an axis.
    """
    if family == "lumina_next":
        return Choice("time_aware_watershed", "as the released demos of Lumina-Next do", proportional=True)
    if family in IN_LINE:  # from the first step on a larger base: the factor is that of the area
        return Choice("time_aware_watershed", f"as the released demo of {IN_LINE[family]} does", True, watershed=0.0)
    if family == AUDIO:
        return Choice("time_aware", "with which longer sounds stay as loud, in this pack's measurements")
    best = f"the best in this pack's measurements, on networks with {MEASURED[0]} to {MEASURED[1]} positions per axis"
    why = best if positions <= MEASURED[1] else f"{best} (this model has {positions})"
    if family in JOINT:
        return Choice("time_aware_late", f"{why}, with proportional attention", proportional=True)
    return Choice("time_aware_late", why)
