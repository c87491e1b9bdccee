"""The parts of the quality benchmark; each draws samples and returns rows of measures, and pictures to show."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...nextdit import NextDiT
from ...nextdit.text import TextEncoder
from ...pipelines.sampling import Sampling, noise, sample
from ...training.data.emoji.concepts import COLOURS, LEFT_OF, background_caption
from .metrics import edge_distance, mean, perceptual, psnr, rate, repetition, sharpness
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
    base: int = BASE
    pictures: dict[str, Tensor] = field(default_factory=dict)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.steps, self.schedule, solver=self.method, cfg=self.guidance)

    def scaled(self, side: int) -> int:
        """Return a side in pixels that is given for a `base` of BASE."""
        return side * self.base // BASE

    @property
    def device(self) -> torch.device:
        return self.model.x_embedder.weight.device

    @property
    def train_tokens(self) -> int:
        return self.base // self.model.config.patch_size

    def draw(
        self,
        prompts: list[str],
        height: int = 0,
        width: int = 0,
        *,
        seed: int = 0,
        x: Tensor | None = None,
        sampling: Sampling | None = None,
        **options,
    ) -> Tensor:
        """Return samples (N, 3, height, width) of prompts, from x or, of sample i, noise of seed 1000·seed + i.

        A side of 0 is `base`. `sampling` is the bench's unless it is given; the other options are those of
        `pipelines.sampling.sample`.
        """
        height, width = height or self.base, width or self.base
        sampling = self.sampling if sampling is None else sampling
        x = noise(range(1000 * seed, 1000 * seed + len(prompts)), height, width) if x is None else x
        rows = range(0, len(prompts), self.batch)
        drawn = [
            sample(self.model, self.encoder, prompts[i : i + self.batch], x[i : i + self.batch], sampling, **options)
            for i in rows
        ]
        return torch.cat(drawn).float().cpu()

    def redraw(self, pictures: Tensor, prompts: list[str], begin: float, *, seed: int = 0, **options) -> Tensor:
        """Return samples that start at t = `begin` from pictures (N, 3, H, W) and noise, mixed as the flow would."""
        x = noise(range(1000 * seed, 1000 * seed + len(prompts)), *pictures.shape[-2:])
        return self.draw(prompts, x=begin * pictures + (1 - begin) * x, begin=begin, **options)

    def measures(self, samples: Tensor, concepts: list[int], colour: int = -1) -> dict[str, Tensor]:
        """Return every measure of each of the square samples of concepts, numbers or booleans (N,)."""
        wanted = torch.tensor(concepts)
        true = self.truth.pictures(samples.shape[-1], colour)[wanted]
        excess = repetition(samples) - repetition(true)
        return {
            "identity": self.truth.nearest(samples, colour) == wanted,
            "psnr": psnr(samples, true),
            "perceptual": perceptual(samples, true),
            "edges": edge_distance(samples, true),
            "sharpness": sharpness(samples) / sharpness(true).clamp(min=1e-4),
            "repetition": excess,
            "one object": excess < 0.3,
        }

    def score(self, samples: Tensor, concepts: list[int], colour: int = -1) -> Row:
        """Return every measure of square samples of concepts, with 95 % intervals."""
        return summary(self.measures(samples, concepts, colour))

    def scored(self, language: str, concepts: list[int], **options) -> Row:
        """Sample concepts by their names in a language, with every seed, and score them."""
        prompts = [self.truth.name(i, language) for i in concepts]
        samples = [self.draw(prompts, seed=seed, **options) for seed in range(self.seeds)]
        self.pictures[language] = samples[0]
        return self.score(torch.cat(samples), concepts * self.seeds)


def summary(measures: dict[str, Tensor]) -> Row:
    """Return shares of the booleans and means of the numbers, with 95 % intervals."""
    return {key: (rate if values.dtype == torch.bool else mean)(values) for key, values in measures.items()}


def languages(bench: Bench) -> list[Row]:
    """Every concept in every language it was trained in, then the emoji as prompts, then the held-out names."""
    rows = []
    for language in [*bench.truth.languages, "emoji"]:
        known = [i for i in bench.truth.concepts if (bench.truth.emoji[i], language) not in bench.truth.held_out]
        rows.append({"prompts": language, **bench.scored(language, known)})
    if bench.truth.known:
        return rows
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
    concepts = bench.truth.concepts
    count = len(concepts)
    pairs = [(concepts[i], concepts[(i + shift) % count]) for shift in (3, 7) for i in range(count)]
    rows = []
    for language in ("en",) if bench.truth.known else ("en", "emoji"):
        template = LEFT_OF[language][0]
        prompts = [template.format(a=bench.truth.name(a, language), b=bench.truth.name(b, language)) for a, b in pairs]
        samples = bench.draw(prompts, bench.base, 2 * bench.base)
        left, right = (bench.truth.nearest(half) for half in samples.chunk(2, dim=-1))
        a, b = torch.tensor(pairs).T
        bench.pictures[f"two objects, {language}"] = samples
        row = {"prompts": language, "both, in order": rate((left == a) & (right == b))}
        rows.append({**row, "left": rate(left == a), "right": rate(right == b)})
    return rows


def guidance(bench: Bench, scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0), concepts: int = 32) -> list[Row]:
    """Classifier-free guidance scales."""
    every = bench.truth.concepts[:concepts]
    return [{"guidance": s, **bench.scored("en", every, sampling=replace(bench.sampling, cfg=s))} for s in scales]


def speed(bench: Bench) -> list[Row]:
    """Seconds for one 1× picture, 10 steps of Euler with guidance, on the threads that PyTorch has; the third run."""
    for _ in range(3):
        start = time.perf_counter()
        bench.draw([bench.truth.name(0, "en")], sampling=replace(bench.sampling, steps=10, cfg=2.0, solver="euler"))
        seconds = time.perf_counter() - start
    return [{"threads": torch.get_num_threads(), "seconds": seconds}]
