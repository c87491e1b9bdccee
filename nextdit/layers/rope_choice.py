"""Which RoPE method is best for a model, by its family and its positions per axis in training: what `auto` means."""

from dataclasses import dataclass

FEW = 32
"""Positions per axis up to which models trained for this pack were tried; benchmarks/notes/larger_sizes.md."""


IN_LINE = {"lumina_t2i": "Lumina-T2I", "flag_dit": "Lumina-T2I"}
"""Families whose positions count patches in one line → whose demo says how to scale them."""

JOINT = ("lumina_image_2",)
"""Families whose text and image share one attention, measured with few positions: there attention made sharper by the
number of tokens wins at every size; benchmarks/notes/joint.md."""

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

    Lumina-Next as its makers' demos run it; with few positions what was best on models trained here; else the paper's.
    Positions are those of an axis.
    """
    if family == "lumina_next":
        return Choice("time_aware_watershed", "as the released demos of Lumina-Next do", proportional=True)
    if family in IN_LINE:  # from the first step on a larger base: the factor is that of the area
        return Choice("time_aware_watershed", f"as the released demo of {IN_LINE[family]} does", True, watershed=0.0)
    if family == AUDIO:
        return Choice("time_aware", "with which longer sounds stay as loud, in this pack's measurements")
    if positions <= FEW:
        best = f"the best in this pack's measurements, which have few positions ({positions})"
        if family in JOINT:
            return Choice("time_aware_late", f"with proportional attention {best}", proportional=True)
        return Choice("time_aware_late", best)
    return Choice("time_aware", f"the best in the paper for many positions ({positions}), not measured on this model")
