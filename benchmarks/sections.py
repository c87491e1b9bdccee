"""The parts of the quality benchmark; each draws samples and returns rows of measures, and pictures to show."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nextdit import NextDiT, RopeScaling
from ..nextdit.text import TextEncoder
from ..training.concepts import COLOURS, LEFT_OF, background_caption
from ..training.sampling import noise, sample
from .metrics import mean, perceptual, psnr, rate, repetition, sharpness
from .truth import Truth

Row = dict[str, Any]
BASE = 64  # the size in pixels that counts as 1×


@dataclass
class Bench:
    """A checkpoint under test, how it samples, and how many concepts and seeds are taken."""

    model: NextDiT
    encoder: TextEncoder
    truth: Truth
    steps: int = 20
    guidance: float = 1.0
    method: str = "euler"
    schedule: str = "uniform"
    seeds: int = 1
    batch: int = 16
    pictures: dict[str, Tensor] = field(default_factory=dict)

    @property
    def train_tokens(self) -> int:
        return BASE // self.model.config.patch_size

    def draw(self, prompts: list[str], height: int = BASE, width: int = BASE, *, seed: int = 0, **options) -> Tensor:
        """Return samples (N, 3, height, width) of prompts; sample i has seed 1000·seed + i."""
        chosen = {"steps": self.steps, "guidance": self.guidance, "method": self.method, "schedule": self.schedule}
        chosen.update(options)
        x = noise(range(1000 * seed, 1000 * seed + len(prompts)), height, width)
        rows = range(0, len(prompts), self.batch)
        drawn = [
            sample(self.model, self.encoder, prompts[i : i + self.batch], x[i : i + self.batch], **chosen) for i in rows
        ]
        return torch.cat(drawn).float().cpu()

    def score(self, samples: Tensor, concepts: list[int], colour: int = -1) -> Row:
        """Return every measure of square samples of concepts, with 95 % intervals."""
        wanted = torch.tensor(concepts)
        true = self.truth.pictures(samples.shape[-1], colour)[wanted]
        excess = repetition(samples) - repetition(true)
        return {
            "identity": rate(self.truth.nearest(samples, colour) == wanted),
            "psnr": mean(psnr(samples, true)),
            "perceptual": mean(perceptual(samples, true)),
            "sharpness": mean(sharpness(samples) / sharpness(true).clamp(min=1e-4)),
            "repetition": mean(excess),
            "one object": rate(excess < 0.3),
        }

    def scored(self, language: str, concepts: list[int], **options) -> Row:
        """Sample concepts by their names in a language, with every seed, and score them."""
        prompts = [self.truth.name(i, language) for i in concepts]
        samples = [self.draw(prompts, seed=seed, **options) for seed in range(self.seeds)]
        self.pictures[language] = samples[0]
        return self.score(torch.cat(samples), concepts * self.seeds)


def languages(bench: Bench) -> list[Row]:
    """Every concept in every language it was trained in, then the emoji as prompts, then the held-out names."""
    rows, everything = [], range(len(bench.truth.emoji))
    for language in [*bench.truth.table["languages"], "emoji"]:
        known = [i for i in everything if (bench.truth.emoji[i], language) not in bench.truth.held_out]
        rows.append({"prompts": language, **bench.scored(language, known)})
    pairs = [(bench.truth.emoji.index(e), language) for e, language in sorted(bench.truth.held_out)]
    samples = bench.draw([bench.truth.name(i, language) for i, language in pairs])
    rows.append({"prompts": "held-out names", **bench.score(samples, [i for i, _ in pairs])})
    return rows


def backgrounds(bench: Bench) -> list[Row]:
    """Every concept on one of the backgrounds, in English."""
    rows = []
    for colour, name in enumerate(COLOURS):
        concepts = list(range(colour, len(bench.truth.emoji), len(COLOURS)))
        prompts = [background_caption("en", bench.truth.name(i, "en"), colour) for i in concepts]
        samples = bench.draw(prompts)
        bench.pictures[f"on {name}"] = samples
        rows.append({"background": name, **bench.score(samples, concepts, colour)})
    return rows


def two_objects(bench: Bench) -> list[Row]:
    """Pairs side by side at 1:2; right when both halves are nearest to their own concept, in this order."""
    count = len(bench.truth.emoji)
    pairs = [(i, (i + shift) % count) for shift in (3, 7) for i in range(count)]
    rows = []
    for language in ("en", "emoji"):
        template = LEFT_OF[language][0]
        prompts = [template.format(a=bench.truth.name(a, language), b=bench.truth.name(b, language)) for a, b in pairs]
        samples = bench.draw(prompts, BASE, 2 * BASE)
        left, right = (bench.truth.nearest(half) for half in samples.chunk(2, dim=-1))
        a, b = torch.tensor(pairs).T
        bench.pictures[f"two objects, {language}"] = samples
        row = {"prompts": language, "both, in order": rate((left == a) & (right == b))}
        rows.append({**row, "left": rate(left == a), "right": rate(right == b)})
    return rows


def few_steps(bench: Bench, counts: tuple[int, ...] = (4, 6, 10, 20), concepts: int = 32) -> list[Row]:
    """The schedules and solvers at equal numbers of network evaluations."""
    rows, chosen = [], list(range(len(bench.truth.emoji)))[:concepts]
    for nfe in counts:
        for schedule, method, cost in (
            ("uniform", "euler", 1),
            ("rational", "euler", 1),
            ("sigmoid", "euler", 1),
            ("uniform", "midpoint", 2),
        ):
            options = {"steps": nfe // cost, "schedule": schedule, "method": method}
            rows.append({"NFE": nfe, "schedule": schedule, "solver": method, **bench.scored("en", chosen, **options)})
    return rows


def sizes(bench: Bench, factors: tuple[float, ...], methods: tuple[str, ...], concepts: int) -> list[Row]:
    """Larger than in training by every RoPE method, beside the model's own 1× sample enlarged."""
    rows, chosen = [], list(range(0, len(bench.truth.emoji), max(1, len(bench.truth.emoji) // concepts)))[:concepts]
    prompts = [bench.truth.name(i, "en") for i in chosen]
    small = bench.draw(prompts)
    for factor in factors:
        side = round(BASE * factor)
        for mode in ("bicubic", "nearest"):
            corners = {"align_corners": False, "antialias": False} if mode == "bicubic" else {}
            large = F.interpolate(small.clamp(-1, 1), (side, side), mode=mode, **corners)
            rows.append({"size": f"{factor:g}×", "method": f"1× sample, {mode}", **bench.score(large, chosen)})
            bench.pictures[f"{factor:g}× {mode}"] = large
        for method in methods:
            rope = RopeScaling(method, factor, train_tokens=bench.train_tokens)
            large = bench.draw(prompts, side, side, rope=rope)
            rows.append({"size": f"{factor:g}×", "method": method, **bench.score(large, chosen)})
            bench.pictures[f"{factor:g}× {method}"] = large
    return rows


def wide(bench: Bench) -> list[Row]:
    """One object on a 1:2 canvas, where it stands in the middle."""
    everything = list(range(len(bench.truth.emoji)))
    samples = bench.draw([bench.truth.name(i, "en") for i in everything], BASE, 2 * BASE)
    middle = samples[..., BASE // 2 : -BASE // 2]
    bench.pictures["1:2"] = samples
    return [{"size": "1:2", **bench.score(middle, everything)}]


def guidance(bench: Bench, scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0), concepts: int = 32) -> list[Row]:
    """Classifier-free guidance scales."""
    return [
        {"guidance": s, **bench.scored("en", list(range(len(bench.truth.emoji)))[:concepts], guidance=s)}
        for s in scales
    ]


def speed(bench: Bench) -> list[Row]:
    """Seconds for one 1× picture, 10 steps of Euler with guidance, on the threads that PyTorch has; the third run."""
    for _ in range(3):
        start = time.perf_counter()
        bench.draw([bench.truth.name(0, "en")], steps=10, guidance=2.0, method="euler")
        seconds = time.perf_counter() - start
    return [{"threads": torch.get_num_threads(), "seconds": seconds}]
