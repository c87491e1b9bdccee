"""One motion after another in one clip: by one prompt, and by a prompt for each half of the time."""

import torch
from torch import Tensor

from ...pipelines.timed import even_parts
from ...training.data.motion.batches import FRAMES
from ...training.data.motion.captions import sentence
from ..shared.metrics import rate
from .bench import Bench, Case, Row
from .judge import motion

OPPOSITE = (
    ("left", "right"),
    ("right", "left"),
    ("up", "down"),
    ("down", "up"),
    ("grow", "shrink"),
    ("shrink", "grow"),
)


def timed(bench: Bench, frames: int = 2 * FRAMES) -> list[Row]:
    """Two opposite motions of one thing, one after the other, in clips twice as long as in training."""
    cases = bench.cases([(first, "") for first, _ in OPPOSITE])
    named = [bench.truth.name(case.concept, "en") for case in cases]
    orders = [OPPOSITE[n // bench.each] for n in range(len(cases))]
    pairs = [[sentence("en", name, kind) for kind in order] for name, order in zip(named, orders, strict=True)]
    whole = [f"{first}, then {second}" for first, second in pairs]
    begins, parts = [first for first, _ in pairs], [even_parts(pair) for pair in pairs]
    drawn = {
        "one prompt: a, then b": bench.draw(whole, frames),
        "a prompt for each half": bench.draw(begins, frames, parts=parts),
        "and the first frame": bench.draw(begins, frames, parts=parts, first=bench.true(cases, frames)[:, :, 0]),
    }
    return [{"prompts": name, **halves(bench, clips, orders, cases)} for name, clips in drawn.items()]


def halves(bench: Bench, clips: Tensor, orders: list[tuple[str, str]], cases: list[Case]) -> Row:
    """Return how often each half moves as asked for, both do, and both show the thing."""
    parts = clips.chunk(2, dim=2)
    right = [
        torch.tensor([motion(clip).kind == order[n] for clip, order in zip(part, orders, strict=True)])
        for n, part in enumerate(parts)
    ]
    shown = [
        torch.tensor([bench.known.nearest(clip) == case.concept for clip, case in zip(part, cases, strict=True)])
        for part in parts
    ]
    return {
        "first half, %": rate(right[0]),
        "second half, %": rate(right[1]),
        "both, in order, %": rate(right[0] & right[1]),
        "the thing in both, %": rate(shown[0] & shown[1]),
    }
