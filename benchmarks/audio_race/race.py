"""Trains one network and measures it on the way, on clips, noise and times that are the same for all."""

import argparse
import json
import os
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from ...nextdit.models.audio import AudioDiT
from ...pipelines.frames import frame_noise
from ...training.loop.flow import initialise
from ...training.loop.trainer import Trainer, start
from ...training.tasks import audio
from .data import Captioned, Clips, RaceBatches
from .variants import VARIANTS, Joined, Variant

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
STOPS = 3
"""How often a network is measured."""


def trainer_of(name: str, seed: int, clips: Clips, encoder: Joined, options: argparse.Namespace, run: str) -> Trainer:
    """Return the trainer of a variant; a seed decides weights, clips and noise."""
    given = {"--run": run, "--steps": options.train_steps, "--rate": options.rate, "--muon": options.muon}
    given |= {"--seed": seed, "--warmup": 40, "--average": 0.99, "--device": "cpu"}
    given |= {"--text-encoder": options.text_encoder}
    how = audio.parse(["--no-compile", *(str(word) for pair in given.items() for word in pair)])
    torch.manual_seed(seed)
    model = initialise(AudioDiT(VARIANTS[name].config(encoder.width)))
    return start(model, audio.AudioTask(encoder, how), RaceBatches(clips, VARIANTS[name], options.batch, seed), how)


@torch.inference_mode()
def errors(model: AudioDiT, spectra: Tensor, prompts: list[str], encoder: Joined, batch: int = 32) -> Tensor:
    """Return the mean squared error of each clip's velocity (B,), over TIMES; a clip's noise is that of its place."""
    seen = (spectra - model.config.latent_shift) * model.config.scale_factor
    fresh, found = frame_noise(range(len(seen)), *seen.shape[1:]), []
    for i in range(0, len(seen), batch):
        data, noise = seen[i : i + batch], fresh[i : i + batch]
        text, mask = encoder(prompts[i : i + batch])
        rows = [
            (model(torch.lerp(noise, data, t), torch.full((len(data),), t), text, mask) - (data - noise)).square()
            for t in TIMES
        ]
        found.append(torch.stack(rows).mean((0, 2, 3)))
    return torch.cat(found)


def heard(
    model: AudioDiT, variant: Variant, spectra: Tensor, said: list[Captioned], encoder: Joined
) -> dict[str, list[float]]:
    """Return the errors of clips of one sound and of two, and of the two under the caption of the other order."""

    def of(sounds: int, turned: bool = False) -> list[float]:
        chance = Random(0)
        rows = [n for n, each in enumerate(said) if len(each.order) == sounds]
        read = [said[n].turned(chance.random()) if turned else said[n] for n in rows]
        prompts = [variant.reads(each.caption, each.structured) for each in read]
        return [round(x, 6) for x in errors(model, spectra[rows], prompts, encoder).tolist()]

    return {"one": of(1), "two": of(2), "turned": of(2, True)}


def race(
    name: str, seed: int, clips: tuple[Clips, Clips], encoder: Joined, options: argparse.Namespace
) -> dict[str, Any]:
    """Train a variant; return its size, the processor's seconds of a step, and `heard` at each stop."""
    stops = {round(options.train_steps * (i + 1) / STOPS) for i in range(STOPS)}
    spectra, said = clips[1].draw(options.held, "held out")
    found: dict[str, Any] = {"steps": []}
    spent = 0.0
    with TemporaryDirectory() as folder:
        trainer = trainer_of(name, seed, clips[0], encoder, options, folder)
        while trainer.run.step < options.train_steps:
            batch = trainer.batches.draw(trainer.run.step, trainer.spent)
            trainer.task.texts(batch.prompts)  # so that no step's time has the text encoder's in it
            began = time.process_time()
            trainer.step(batch)
            spent += time.process_time() - began
            if trainer.run.step in stops:
                measured = heard(trainer.run.averaged(), VARIANTS[name], spectra, said, encoder)
                found["steps"].append(trainer.run.step)
                found = {**found, **{key: [*found.get(key, []), row] for key, row in measured.items()}}
    size = sum(p.numel() for p in trainer.run.model.parameters())
    return {"parameters": size, "seconds": spent / options.train_steps, **found}


def raced(
    name: str, seed: int, clips: tuple[Clips, Clips], encoder: Joined, options: argparse.Namespace
) -> dict[str, Any]:
    """Return a race's measures, from its file in --runs where there is one: so a stopped comparison goes on."""
    file: Path = options.runs / f"{name.replace(' ', '-').lower()}-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text("utf-8"))
    found = race(name, seed, clips, encoder, options)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(found) + "\n", "utf-8")
    os.replace(unfinished, file)
    return found
