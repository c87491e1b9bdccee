"""A training run on disk: everything that it takes to go on at the next step, and the checkpoint to use."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...nextdit import save_model
from ...nextdit.whole_file import whole_file
from .optimisation import MovingAverage

Model = Any
"""A network of any family."""


class Run:
    """A model in training with its average, its optimizers and the number of steps done."""

    def __init__(self, model: Model, optimizers: list[torch.optim.Optimizer], decay: float):
        self.model, self.optimizers = model, optimizers
        self.average = MovingAverage(model, decay)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []

    def save(self, file: Path) -> None:
        """Write the whole state; the file appears under its name only when whole."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.values,
            "updates": self.average.steps,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
        }
        with whole_file(file) as unfinished:
            torch.save(state, unfinished)

    def resume(self, file: Path) -> None:
        """Take over the state of a file. Raises ValueError if it is of another architecture or optimizer."""
        device = next(self.model.parameters()).device
        state = torch.load(file, map_location=device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{file} is the state of another model or optimizer ({error}): delete it or give another --run"
            ) from error
        self.average.values, self.average.steps = state["average"], state["updates"]
        self.step, self.seconds = state["step"], state["seconds"]
        self.losses = state.get("losses", [])  # which states of earlier versions lack

    def averaged(self) -> Model:
        """Return a copy of the model with the averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model).eval()
        model.load_state_dict(self.average.values)
        return model

    def export(self, file: Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write the averaged weights as a checkpoint in the reference layout, bfloat16."""
        save_model(self.averaged().bfloat16(), file, {"steps": str(self.step), **(metadata or {})})
