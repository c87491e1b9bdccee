"""The loop that all stages of flow matching share: one step after the other, resumable, saved on the way."""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...nextdit.text import TextEncoder
from ..data.emoji.prepare import default_cache
from .optimisation import Warmup, optimizers
from .state import Model, Run

TEXT_TOKENS = 32  # a fixed length, so that one compilation serves all batches of a size


class Batches(Protocol):
    """Where the data come from."""

    def draw(self, step: int, spent: float) -> Any:
        """Return the batch of a step, `spent` (0 to 1) of the run being over; the same for a seed and step."""


class Task(Protocol):
    """What a stage trains for."""

    def loss(self, model: Any, batch: Any, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch, which is to be differentiated."""

    def about(self, model: Any) -> dict[str, str]:
        """Return what the checkpoint says about itself."""

    def show(self, model: Any, file: Path, spent: float) -> None:
        """Write samples of the model as a picture."""


class Trainer:
    """One training step after the other; computes in bfloat16, keeps weights in float32."""

    def __init__(self, run: Run, task: Task, batches: Batches, schedule: Warmup, options: argparse.Namespace):
        self.run, self.task, self.batches, self.schedule, self.options = run, task, batches, schedule, options
        self.device = next(run.model.parameters()).device
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in run.optimizers]
        if options.compile:  # layer by layer: one compilation for all of them
            for layer in run.model.layers:
                layer.compile(dynamic=getattr(options, "dynamic", False))

    @property
    def spent(self) -> float:
        """Part of the planned steps, or of the planned minutes if that is more, that is over (0 to 1)."""
        return max(self.run.step / self.options.steps, self.run.seconds / (60 * self.options.plan_minutes))

    def step(self, batch: Any) -> Tensor:
        """Do one step on a batch and return its loss."""
        run, spent = self.run, self.spent
        for optimizer, rates in zip(run.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self.schedule(run.step, spent)
        # noise of a large batch takes a CPU as long as a step takes a GPU
        generator = torch.Generator(self.device if self.device.type == "cuda" else "cpu")
        generator.manual_seed(1_000_003 * self.options.seed + run.step)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = self.task.loss(run.model, batch, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        run.average.update(run.model.named_parameters())
        run.step += 1
        return loss.detach()


def train(trainer: Trainer, folder: Path, out: Path | None) -> list[float]:
    """Run until the planned steps or minutes are over; save, export and sample on the way; return the losses."""
    options, run, losses = trainer.options, trainer.run, []
    start = last = saved = time.monotonic()
    shown = 0.0
    with tqdm(total=options.steps, initial=run.step, desc=options.title, mininterval=10) as progress:
        while trainer.spent < 1 and last - start < 60 * options.minutes:
            loss = trainer.step(trainer.batches.draw(run.step, trainer.spent)).item()
            losses.append(loss)
            run.losses.append(loss)
            shown = loss if len(losses) == 1 else 0.98 * shown + 0.02 * loss
            progress.set_postfix(loss=f"{shown:.4f}", refresh=False)
            progress.update()
            now = time.monotonic()
            run.seconds, last = run.seconds + now - last, now
            if now - saved > 60 * options.save_every:
                keep(trainer, folder, out)
                saved = now
    keep(trainer, folder, out)
    return losses


def keep(trainer: Trainer, folder: Path, out: Path | None) -> None:
    """Write state, checkpoint and samples."""
    run, options = trainer.run, trainer.options
    run.save(folder / "state.pt")
    (folder / "losses.txt").write_text("".join(f"{loss:.5f}\n" for loss in run.losses), "utf-8")
    run.export(out or folder / "model.safetensors", {"title": options.title, **trainer.task.about(run.model)})
    if options.samples:
        trainer.task.show(run.averaged(), folder / f"samples-{run.step:06d}.png", trainer.spent)


def check_pixels(model: Model, name: Path | None) -> None:
    """Raise ValueError, naming its file, unless a model works on pixels, as the data is."""
    if model.config.in_channels != 3:
        raise ValueError(f"training works on pixels: {name} takes {model.config.in_channels} channels, expected 3")


def run_stage(parse: Callable[[], argparse.Namespace], make_trainer: Callable[[argparse.Namespace], Trainer]) -> None:
    """Carry out the command line of a stage that trains a Next-DiT."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = parse()
    train(make_trainer(options), options.run, options.out)


def start(
    model: Model,
    task: Any,
    batches: Batches,
    options: argparse.Namespace,
    kind: type[Run] = Run,
    trains: "type[Trainer]" = Trainer,
) -> Trainer:
    """Return the trainer of a model on the options' device, resumed where the folder --run has a state."""
    model = model.to(options.device).train()
    run = kind(model, optimizers(model, options.rate, options.muon, options.decay), options.average)
    trainer = trains(run, task, batches, Warmup(options.warmup, options.cooldown), options)
    options.run.mkdir(parents=True, exist_ok=True)
    if (options.run / "state.pt").is_file():
        run.resume(options.run / "state.pt")
    return trainer


def encode(encoder: TextEncoder, prompts: list[str], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return features and mask of the frozen text encoder, padded to a multiple of TEXT_TOKENS."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):  # as at inference
        features, mask = encoder(prompts)
    more = -features.shape[1] % TEXT_TOKENS
    features, mask = F.pad(features, (0, 0, 0, more)), F.pad(mask, (0, more))
    return features.to(device, torch.float32), mask.to(device).bool()


def parser(description: str | None, title: str, text: bool = True) -> argparse.ArgumentParser:
    """Return a parser of the options that every stage has; `text` is whether it cannot do without a text encoder."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--cache", type=Path, default=default_cache(), help="what the stage before wrote")
    add("--text-encoder", type=Path, required=text, help="HF folder of the frozen LLM")
    add("--run", type=Path, required=True, help="folder of the state and the samples; resumes if there is one")
    add("--out", type=Path, help="checkpoint to write (default: in --run)")
    add("--steps", type=int, default=5000, help="steps of the whole run: the learning rate falls to 0 there")
    add("--plan-minutes", type=float, default=1e9, help="minutes of the whole run, after which the rate is 0")
    add("--minutes", type=float, default=1e9, help="minutes after which this call stops")
    add("--rate", type=float, default=1e-3, help="learning rate")
    add("--warmup", type=int, default=100)
    add("--cooldown", type=float, default=0.4, help="last part of the run in which the rate falls")
    add("--muon", type=float, default=0.0, help="learning rate of Muon for the layers' matrices (0: AdamW for all)")
    add("--decay", type=float, default=0.0, help="weight decay of matrices")
    add("--average", type=float, default=0.998, help="decay of the moving average of weights")
    add("--save-every", type=float, default=5.0, help="minutes between saved states")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--title", default=title)
    add("--compile", action=argparse.BooleanOptionalAction, default=True)
    add("--samples", action=argparse.BooleanOptionalAction, default=True, help="draw samples with each saved state")
    return made
