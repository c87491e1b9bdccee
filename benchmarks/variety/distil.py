"""Distribution matching distillation of a small network into one of few steps without guidance.

The student's pictures are pushed from where a network that learns to denoise them (the critic) thinks that they come
from to where the guided teacher does: DMD (arXiv 2311.18828), from a noise that the student follows itself in its own
steps (DMD2, arXiv 2405.14867, section 4.5), without a discriminator. Deterministic steps, as turbo models are run.
"""

import copy
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...samplers import times
from ...training.loop.flow import draw_times, flow_loss
from ..shared.graphs import recorded
from .cards import Cards
from .ways import ALPHA, Text, guided


def default_generator(device: torch.device) -> torch.Generator:
    """Return the device's own generator, the only one that CUDA graphs follow without being told."""
    if device.type != "cuda":
        return torch.default_generator
    torch.cuda.init()
    return torch.cuda.default_generators[device.index or 0]


class Texts:
    """Features and masks of all prompts of the cards, on their device."""

    def __init__(self, encoder: Any, cards: Cards):
        with torch.no_grad():
            features, mask = encoder(cards.prompts)
        self.features, self.mask = features.float().to(cards.device), mask.bool().to(cards.device)

    def __call__(self, prompts: Tensor) -> Text:
        return self.features[prompts], self.mask[prompts]

    def empty(self, count: int) -> Text:
        return self(torch.full((count,), -1, device=self.mask.device))


def velocity(network: Any) -> Callable[..., Tensor]:
    """Return the network's velocity, computed in bfloat16, in float32."""

    def run(x: Tensor, t: Tensor, features: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            return network.velocity(x, t, features, mask).float()

    return run


class Learner:
    """A network with AdamW, clipped gradients and a moving average."""

    def __init__(self, network: nn.Module, rate: float, average: float, betas: tuple[float, float] = (0.9, 0.98)):
        self.network, self.rate, self.decay = network.train(), rate, average
        self.parameters = list(network.parameters())
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)  # where graphs add to
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, betas=betas, weight_decay=0.0, fused=True)
        self.averaged = [parameter.detach().clone() for parameter in self.parameters]

    @property
    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

    def apply(self, factor: float) -> None:
        """Do a step of the optimizer at a part of its rate."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        self.optimizer.step()
        torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - self.decay)

    def smoothed(self) -> Any:
        """Return a copy of the network with the averaged weights."""
        network = copy.deepcopy(self.network).eval()
        for parameter, value in zip(network.parameters(), self.averaged, strict=True):
            parameter.data.copy_(value)
            parameter.grad = None
        return network


class Clock:
    """A span of seconds: the learning rate rises in its first 3 % and falls to nothing over its last `cooldown`."""

    def __init__(self, seconds: float, steps: int | None, cooldown: float = 0.4):
        self.began, self.seconds, self.steps, self.cooldown, self.step = time.monotonic(), seconds, steps, cooldown, 0

    @property
    def spent(self) -> float:
        if self.steps is not None:
            return self.step / self.steps
        return (time.monotonic() - self.began) / self.seconds

    def tick(self, device: torch.device, every: int = 10) -> float | None:
        """Return the rate's factor for the next step, None when time is over; waits for the device now and then."""
        if device.type == "cuda" and self.step % every == 0:
            torch.cuda.synchronize()
        spent = self.spent
        self.step += 1
        return None if spent >= 1 else min(1.0, spent / 0.03 + 0.01) * min(1.0, (1 - spent) / self.cooldown)


def train_teacher(learner: Learner, cards: Cards, texts: Texts, batch: int, clock: Clock, graphs: bool) -> list[float]:
    """Fine-tune a network on the cards by flow matching; return losses."""
    run, generator = velocity(learner.network), default_generator(cards.device)

    def step() -> Tensor:
        torch._foreach_zero_(learner.gradients)
        pictures, prompts = cards.draw(batch)
        text = texts(prompts)
        loss = flow_loss(lambda x, t: run(x, t, *text), pictures, generator)
        loss.backward()
        return loss.detach()

    taken, losses = recorded(step, cards.device, graphs), []
    while (factor := clock.tick(cards.device)) is not None:
        loss = taken()
        learner.apply(factor)
        if clock.step % 50 == 1:
            losses.append(float(loss))
    return losses


class Distillation:
    """A student and its critic, both copies of the teacher, and one step of each."""

    def __init__(self, teacher: Any, cards: Cards, texts: Texts, batch: int, steps: int, rate: float):
        self.cards, self.texts, self.batch = cards, texts, batch
        self.teacher = teacher.eval().requires_grad_(False)
        self.student = Learner(copy.deepcopy(teacher).requires_grad_(True), rate, 0.99, (0.0, 0.99))
        self.critic = Learner(copy.deepcopy(teacher).requires_grad_(True), 2 * rate, 0.99, (0.0, 0.99))
        self.grid = times("rational", steps, alpha=ALPHA).tolist()
        self.generator = default_generator(cards.device)

    def text(self) -> Text:
        return self.texts(self.cards.choose(self.batch))

    def clean(self, text: Text, last: int) -> Tensor:
        """Return what the student takes for the picture in its step `last`, having followed the steps before."""
        run = velocity(self.student.network)
        x = torch.randn(self.batch, *self.cards.pictures.shape[-3:], device=self.cards.device)
        with torch.no_grad():
            for t, after in pairwise(self.grid[: last + 1]):
                x = x + (after - t) * run(x, x.new_full((self.batch,), t), *text)
        t = self.grid[last]
        return x + (1 - t) * run(x, x.new_full((self.batch,), t), *text)

    def learn_critic(self, last: int) -> Tensor:
        """Add the critic's gradients: flow matching on the student's pictures."""
        torch._foreach_zero_(self.critic.gradients)
        text = self.text()
        with torch.no_grad():
            pictures = self.clean(text, last)
        run = velocity(self.critic.network)
        loss = flow_loss(lambda x, t: run(x, t, *text), pictures, self.generator)
        loss.backward()
        return loss.detach()

    def learn_student(self, last: int) -> Tensor:
        """Add the student's gradients: from the critic's estimate of its pictures to the guided teacher's."""
        torch._foreach_zero_(self.student.gradients)
        text = self.text()
        pictures = self.clean(text, last)
        with torch.no_grad():
            t = draw_times(self.batch, self.generator, 0.0, 0.5).clamp(0.02, 0.98)
            each = t.view(-1, 1, 1, 1)
            x = torch.lerp(torch.randn_like(pictures), pictures, each)
            real = x + (1 - each) * guided(velocity(self.teacher), x, t, text, self.texts.empty(self.batch))
            fake = x + (1 - each) * velocity(self.critic.network)(x, t, *text)
            scale = (pictures - real).abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
            wanted = pictures - (fake - real) / scale
        loss = 0.5 * (pictures - wanted).square().mean()
        loss.backward()
        return loss.detach()

    def run(self, clock: Clock, ratio: int, graphs: bool, peek: Callable[[int, Any], None]) -> None:
        """Take turns, `ratio` steps of the critic for one of the student; `peek` is shown the student now and then."""
        device, count = self.cards.device, len(self.grid) - 1
        critics = [recorded(partial(self.learn_critic, i), device, graphs) for i in range(count)]
        students = [recorded(partial(self.learn_student, i), device, graphs) for i in range(count)]
        shown = 0.0
        turns = torch.randint(count, (1_000_000,), generator=torch.Generator().manual_seed(0)).tolist()
        while (factor := clock.tick(device)) is not None:
            for k in range(ratio):
                critics[turns[(clock.step * (ratio + 1) + k) % len(turns)]]()
                self.critic.apply(max(factor, 0.1))
            students[turns[(clock.step * (ratio + 1) + ratio) % len(turns)]]()
            self.student.apply(factor)
            if clock.spent - shown > 0.15 and math.isfinite(clock.spent):
                shown = clock.spent
                peek(clock.step, self.student.smoothed())
