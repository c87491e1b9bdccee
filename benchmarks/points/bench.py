"""A model of points, what it is compared with, and how it samples."""

import argparse
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nextdit import load_model
from ...nextdit.clouds.noise import grained
from ...nextdit.models.points import PointConfig, PointNextDiT
from ...pipelines.points import sample_points
from ...pipelines.sampling import Sampling
from ...training.data.points.prepare import load
from ...training.data.points.shapes import LABELS, cloud
from ..shared.metrics import rate
from .judge import Judge, judged, train

Row = dict[str, Any]
Clouds = list[list[Tensor]]
"""Clouds (N, 3), a list of them for every label."""

TOGETHER = 2**17
"""Points of all clouds that a GPU samples at once; a processor makes one cloud after the other."""


class Bench:
    """A model of labels, the shapes that it is compared with, and how it samples."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.device = torch.device(options.device)
        self.model = self.network(options.model, getattr(torch, options.dtype))
        self.sampling = Sampling(options.steps, "uniform", solver=options.method, cfg=options.guidance)
        self.held, self.seen = load(options.cache, "held-out"), load(options.cache, "train")
        self.judge: Judge = train(load(options.cache, "judge"), options.judge_steps)

    def network(self, file: Path, dtype: torch.dtype = torch.float32) -> PointNextDiT:
        """Return the network of a file."""
        return load_model(file, dtype=dtype, device=self.device, family="points").eval()

    def loaded(self, rows: Iterable[np.ndarray]) -> list[Tensor]:
        """Return clouds (N, 3) on the device."""
        return [torch.from_numpy(row.astype("float32")).to(self.device) for row in rows]

    def references(self, points: int, count: int) -> Clouds:
        """Return held-out shapes of every label."""
        return [self.loaded(shapes[:count, :points]) for shapes in self.held]

    def training_shapes(self, points: int, count: int) -> Clouds:
        """Return as many training shapes of every label: the floor."""
        if points > self.seen.shape[2]:
            return [self.loaded(cloud(label, f"train {n}", points) for n in range(count)) for label in LABELS]
        return [self.loaded(shapes[:count, :points]) for shapes in self.seen]

    def sample(self, points: int, count: int, model: PointNextDiT | None = None, **options: Any) -> Clouds:
        """Return samples of every label; `options` are those of `sample_points`, and of the sampling.

        Models trained with pairs follow nearly straight lines, for which Euler's steps do. With --keep, clouds
        that were made before are read.
        """
        model = model or self.model
        grain = options.pop("grain", self.options.grain)
        told = {key: options.pop(key) for key in ("steps", "cfg", "solver") if key in options}
        sampling = replace(self.sampling, **({"solver": "euler"} if model.config.paired else {}) | told)
        if self.options.keep is None:
            return self.made(points, count, model, sampling, grain, options)
        weights = hashlib.sha256(b"".join(x.float().cpu().numpy().tobytes() for x in model.state_dict().values()))
        asked = f"{weights.hexdigest()} {model.config} {points} {count} {sampling} {grain} {sorted(options.items())}"
        file = self.options.keep / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.pt"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(self.made(points, count, model, sampling, grain, options), file)
        return torch.load(file, self.device, weights_only=True)

    @torch.inference_mode()
    def made(
        self, points: int, count: int, model: PointNextDiT, sampling: Sampling, grain: float, options: dict[str, Any]
    ) -> Clouds:
        """Do the work of `sample`."""
        made, together = [], 1 if self.device.type == "cpu" else max(1, TOGETHER // points)
        for label in range(len(LABELS)):
            noise = torch.randn(count, 3, points, generator=torch.Generator().manual_seed(label))
            x = grained(noise, model.config.train_points, grain).to(self.device)
            none = torch.zeros(1, 1, len(LABELS)).to(model.point_embedder.linear.weight)
            chosen = none.clone()
            chosen[..., label] = 1
            told = {"none": (none, None), **options}
            rows = [sample_points(model, some, chosen, None, sampling, **told) for some in x.split(together)]
            made.append([cloud.T.float().contiguous() for row in rows for cloud in row])
        return made

    def variant(self, model: PointNextDiT, scaling: str, scale: float) -> PointNextDiT:
        """Return a network with the same weights whose features are scaled in another way."""
        config: PointConfig = replace(model.config, scaling=scaling, scale=scale)
        made = PointNextDiT(config, dtype=model.point_embedder.linear.weight.dtype, device=self.device)
        made.load_state_dict(model.state_dict())
        return made.eval()

    def right(self, clouds: Clouds) -> dict[str, float]:
        """Return the share of clouds in which the judge sees their label."""
        return rate(torch.cat([judged(self.judge, row) == label for label, row in enumerate(clouds)]))
