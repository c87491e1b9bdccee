"""What may make seeds of a distilled model differ more: each a way to sample it in few steps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...samplers import times
from ...samplers.variety import begin_on_colours

Text = tuple[Tensor, Tensor]
"""Features (B, L, D) and mask (B, L)."""
Network = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
ALPHA = 2.0  # of the rational schedule that the student was distilled on
GUIDANCE = 3.0  # of the teacher


@dataclass(frozen=True)
class Way:
    """How to sample; the defaults are the plain way.

    In the first `changed` steps the velocity is that of the empty prompt by `empty`, that of the prompt with noise of
    `text_noise` standard deviations on its features, or the teacher's. The noise to start from is `scale` times as
    strong, and has `colour` of one random colour and `blobs` of 4 × 4 random ones mixed in. At `begin` the first step
    begins, from as much of a picture of random colour or blobs, at `own` from the noise's own colour, as the node Seed
    Variety does. A changed step more, of length `first`, comes before the others. After each changed step `renoise` of
    the noise is new.
    """

    name: str = "plain"
    strength: float | None = None
    steps: int = 4
    alpha: float = ALPHA
    changed: int = 0
    empty: float = 0.0
    text_noise: float = 0.0
    teacher: bool = False
    scale: float = 1.0
    own: float = 0.0
    colour: float = 0.0
    blobs: float = 0.0
    begin: float = 0.0
    first: float = 0.0
    renoise: float = 0.0

    @property
    def grid(self) -> list[float]:
        """The times of the steps."""
        begin = self.begin + self.own + self.first
        steps = begin + (1 - begin) * times("rational", self.steps, alpha=self.alpha)
        return [*([self.begin] if self.first else []), *steps.tolist()]


def ways(steps: int) -> Iterator[Way]:
    """Yield the plain way and all candidates, each with several strengths."""
    plain = Way(steps=steps)
    half = max(1, steps // 2)

    def made(name: str, strength: float, **options: Any) -> Way:
        return replace(plain, name=name, strength=strength, **options)

    yield plain
    for share in (0.25, 0.5, 0.75, 1.0):
        yield made("empty prompt, first step", share, changed=1, empty=share)
    for share in (0.5, 1.0):
        yield made("empty prompt, first half", share, changed=half, empty=share)
    for first in (0.02, 0.05, 0.1, 0.2):
        yield made("empty prompt, a step more", first, first=first, changed=1, empty=1.0)
    for first in (0.02, 0.05, 0.1, 0.2):
        yield made("noise on the text, a step more", first, first=first, changed=1, text_noise=2.0)
    for noise in (0.25, 0.5, 1.0, 2.0):
        yield made("noise on the text, first step", noise, changed=1, text_noise=noise)
    for noise in (0.25, 0.5, 1.0):
        yield made("noise on the text, first half", noise, changed=half, text_noise=noise)
    for noise in (0.1, 0.25, 0.5):
        yield made("noise on the text, all steps", noise, changed=steps, text_noise=noise)
    for alpha in (0.5, 1.0, 4.0, 8.0):
        yield made("schedule, alpha", alpha, alpha=alpha)
    for scale in (1.05, 1.1, 1.2, 1.4):
        yield made("stronger noise", scale, scale=scale)
    for strength in (0.01, 0.02, 0.03, 0.05):
        yield made("Seed Variety", strength, own=strength)
    for share in (0.03, 0.1, 0.2):
        yield made("one colour in the noise", share, colour=share)
    for share in (0.05, 0.1, 0.2):
        yield made("blobs in the noise", share, blobs=share)
    for begin in (0.05, 0.1, 0.2, 0.3):
        yield made("begin on random colours", begin, begin=begin, colour=1.0)
    for begin in (0.1, 0.2, 0.3):
        yield made("begin on random blobs", begin, begin=begin, blobs=1.0)
    for share in (0.5, 1.0):
        yield made("new noise after the first step", share, changed=1, renoise=share)
    for share in (0.5, 1.0):
        yield made("new noise after each step", share, changed=steps, renoise=share)
    for count in {1, half}:
        yield made("teacher, first steps", count, changed=count, teacher=True)


def start(way: Way, x: Tensor) -> Tensor:
    """Return what sampling begins with, from noise (B, 3, H, W)."""
    x, rough = begin_on_colours(x, way.own), torch.zeros_like(x)
    for share, cells in ((way.colour, 1), (way.blobs, 4)):
        if share:
            grid = torch.randn(len(x), x.shape[1], cells, cells, device=x.device)
            rough = rough + share * F.interpolate(grid, size=x.shape[-2:], mode="bicubic", align_corners=False)
    if way.begin:
        return way.begin * rough.clamp(-1, 1) + (1 - way.begin) * x
    return way.scale * (x + rough)


@torch.inference_mode()
def sample(way: Way, student: Network, teacher: Network, x: Tensor, text: Text, empty: Text) -> Tensor:
    """Return pictures of prompts from noise x (B, 3, H, W), by Euler steps."""
    x = start(way, x)
    for i, (t, after) in enumerate(pairwise(way.grid)):
        now = torch.full((len(x),), t, device=x.device)
        changed = i < way.changed
        if changed and way.teacher:
            x = between(teacher, x, t, after, text, empty)
            continue
        v = changed_velocity(way, student, x, now, text, empty) if changed else student(x, now, *text)
        clean = x + (1 - t) * v
        left = x - t * v  # the noise, as the network sees it
        if changed and way.renoise and after < 1:
            fresh = torch.randn_like(x)
            left = (1 - way.renoise) * left + (1 - (1 - way.renoise) ** 2) ** 0.5 * fresh
        x = after * clean + (1 - after) * left
    return x


def changed_velocity(way: Way, network: Network, x: Tensor, t: Tensor, text: Text, empty: Text) -> Tensor:
    """Return the velocity of a step that is told less, or something else, than the prompt."""
    features, mask = text
    if way.text_noise:
        features = features + way.text_noise * features.std() * torch.randn_like(features)
    v = network(x, t, features, mask)
    return torch.lerp(v, network(x, t, *empty), way.empty) if way.empty else v


def between(teacher: Network, x: Tensor, t: float, after: float, text: Text, empty: Text, steps: int = 5) -> Tensor:
    """Follow the teacher's guided flow from t to `after`."""
    for a, b in pairwise(torch.linspace(t, after, steps + 1).tolist()):
        x = x + (b - a) * guided(teacher, x, torch.full((len(x),), a, device=x.device), text, empty)
    return x


def guided(network: Network, x: Tensor, t: Tensor, text: Text, empty: Text, scale: float = GUIDANCE) -> Tensor:
    """Return a guided velocity, both halves in one batch."""
    both = [torch.cat(pair) for pair in zip(text, empty, strict=True)]
    positive, negative = network(x.repeat(2, 1, 1, 1), t.repeat(2), *both).chunk(2)
    return negative + scale * (positive - negative)
