"""Trains one network of the comparison and measures it on the way: everyone sees the same pictures, noise and times."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit.call import Call
from ...nextdit.models.class_image import ClassDiT
from ...pipelines.classes import sample_classes
from ...pipelines.sampling import Sampling, noise
from ...training.data.emoji.concepts import EMOJI
from ...training.loop.attention import folded_attention
from ...training.loop.trainer import Trainer, start
from ...training.tasks import class_image
from ..shared.truth import Truth
from .judge import Judge, judged
from .variants import VARIANTS, magnitudes, matched, parameters, prepared

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
STOPS = 4  # how often a network is measured
PIXELS = 16
EVERY = 4  # of the demo's things only each so many is learned, so that minutes are enough


def trainer_of(name: str, seed: int, options: argparse.Namespace, folder: str) -> Trainer:
    """Return the trainer of a variant; a seed decides weights, order of pictures, and noise."""
    given = {"--steps": options.train_steps, "--pictures": options.batch, "--rate": options.rate}
    given |= {"--muon": options.muon, "--seed": seed}
    words = [str(word) for pair in given.items() for word in pair]
    how = class_image.parse(["--run", folder, "--no-compile", "--warmup", "50", "--average", "0.99", *words])
    how.train_pixels = PIXELS
    batches = class_image.make_batches(how)
    batches.pictures, batches.labels = batches.pictures[::EVERY], batches.labels[::EVERY]
    torch.manual_seed(seed)
    model = prepared(VARIANTS[name].build(replace(matched(VARIANTS[name]), labels=batches.labels)))
    return start(model, class_image.ClassTask(how), batches, how)


def true_pictures(model: ClassDiT) -> Tensor:
    """Return the pictures on white of the things that a network learns."""
    return Truth().pictures(PIXELS)[: len(EMOJI)][:: len(EMOJI) // model.config.classes]


@torch.inference_mode()
def held_loss(model: ClassDiT, seed: int) -> float:
    """Return the mean squared error of the velocity at TIMES, on all true pictures under one noise for each."""
    pictures = true_pictures(model)
    fresh = noise(range(1000 * seed, 1000 * seed + len(pictures)), PIXELS, PIXELS)
    labels, losses = torch.arange(len(pictures)), []
    for t in TIMES:
        v = model(torch.lerp(fresh, pictures, t), torch.full((len(pictures),), t), labels)
        losses.append(F.mse_loss(v, pictures - fresh))
    return float(torch.stack(losses).mean())


def samples(model: ClassDiT, seed: int, count: int, sampling: Sampling, pixels: int = PIXELS) -> Tensor:
    """Return `count` times a sample of every class, (count · classes, 3, pixels, pixels)."""
    labels = torch.arange(model.config.classes)
    starts = [1000 * (seed + n) for n in range(count)]
    fresh = (noise(range(start, start + len(labels)), pixels, pixels) for start in starts)
    return torch.cat([sample_classes(model, labels, x, sampling) for x in fresh])


@torch.inference_mode()
def layers_of(model: ClassDiT, seed: int) -> list[float]:
    """Return the root mean square of the tokens behind every layer, half-way from noise to the true pictures."""
    pictures = true_pictures(model)
    x = torch.lerp(noise(range(seed, seed + len(pictures)), PIXELS, PIXELS), pictures, 0.5)
    shares = torch.eye(len(pictures)).unsqueeze(1)
    t, call = torch.full((len(pictures),), 0.5), Call(attend=folded_attention)
    return magnitudes(model, lambda: model.velocity(x, t, shares, None, call))


def race(name: str, seed: int, judge: Judge, options: argparse.Namespace) -> dict[str, Any]:
    """Train a variant; return its size, what was measured at STOPS stops, and its layers' magnitudes in the end."""
    stops = {round(options.train_steps * (i + 1) / STOPS) for i in range(STOPS)}
    sampling = Sampling(options.steps, "uniform", cfg=options.guidance)
    found: dict[str, Any] = {"steps": [], "training loss": [], "loss": [], "right": []}
    losses: list[float] = []
    with TemporaryDirectory() as folder:
        trainer = trainer_of(name, seed, options, folder)
        while trainer.run.step < options.train_steps:
            losses.append(float(trainer.step(trainer.batches.draw(trainer.run.step, trainer.spent))))
            if trainer.run.step in stops:
                model = trainer.run.averaged()
                found["steps"].append(trainer.run.step)
                found["training loss"].append(sum(losses) / len(losses))
                found["loss"].append(held_loss(model, seed))
                seen = judged(judge, samples(model, 10 * seed, options.samples, sampling))
                wanted = torch.arange(0, len(EMOJI), EVERY).repeat(options.samples)
                found["right"].append(float((seen == wanted).float().mean()))
                losses.clear()
    trained = trainer.run.model.eval()
    return {"parameters": parameters(trained), **found, "magnitudes": layers_of(trained, seed)}


def raced(name: str, seed: int, judge: Judge, options: argparse.Namespace) -> dict[str, Any]:
    """Return a race's measures, from its file in --runs where there is one: so a stopped comparison goes on."""
    file: Path = options.runs / f"{name.replace(' ', '-').lower()}-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text("utf-8"))
    found = race(name, seed, judge, options)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    os.replace(unfinished, file)
    return found
