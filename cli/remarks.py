"""What a command line asks for in vain, or hardly means: said before any work, not refused."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .jobs import Job

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from ..pipelines import Models

FAR = 4
"""How many times as large a picture may be a side as those in training, before a model surely repeats itself."""


def remarks(options: argparse.Namespace, jobs: list[Job], models: "Models") -> list[str]:
    """Return a sentence for every option without effect and for every size that becomes another or is too large."""
    return [*in_vain(options, jobs, models), *dict.fromkeys(text for job in jobs for text in sizes(job, models))]


def in_vain(options: argparse.Namespace, jobs: list[Job], models: "Models") -> Iterator[str]:
    """Yield a sentence for each option that changes none of the pictures."""
    if not jobs:
        return
    yield from without_guidance(options.cfg, any(job.request.negative for job in jobs), options.channels)
    if options.second_pass is not None and not any(job.has_two_passes(models) for job in jobs):
        yield "--second-pass does nothing up to the training size"
    if options.rope is not None and not any(job.factor > 1 for job in jobs):
        yield "--rope does nothing up to the training size"


def without_guidance(cfg: float, negative: str | bool = "", channels: int | None = None) -> Iterator[str]:
    """Yield a sentence for each option of guidance that is given where there is none."""
    if cfg == 1 and negative:
        yield "--negative does nothing at --cfg 1, which is no guidance"
    if cfg == 1 and channels is not None:
        yield "--channels does nothing at --cfg 1, which is no guidance"


def say(remarks: Iterable[str]) -> None:
    """Tell the user something on stderr, under torchrun once."""
    if int(os.environ.get("RANK", "0")) == 0:
        sys.stderr.write("".join(f"lumina-next: {text}\n" for text in remarks))


def sizes(job: Job, models: "Models") -> Iterator[str]:
    """Yield what is to be said of a picture's size."""
    width, height, unit = job.request.width, job.request.height, models.config.patch_size * models.scale
    assert width and height
    if width % unit or height % unit:
        whole = "×".join(str(-(-side // unit) * unit) for side in (width, height))
        yield f"{width}×{height} is no multiple of {unit} pixels: drawn as {whole} and cut"
    if job.factor > FAR:
        side = job.request.train_size
        yield f"{width}×{height} is far above the {side}×{side} of training: expect it slow, and things twice"
