"""A model of audio that is measured, and how it samples."""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nextdit import RopeScaling, load_model
from ...nextdit.models.audio import FAMILY
from ...nextdit.text import load_text_encoder
from ...pipelines.frames import sample_frames
from ...pipelines.sampling import Sampling
from ...training.data.sounds.prepare import MEL, from_bytes, to_bytes


class Generator:
    """The model, text encoder and sampling of a benchmark's options.

    Spectra stay in the folder `options.spectra`, if there is one, and are taken from there.
    """

    def __init__(self, options: argparse.Namespace):
        self.options = options
        dtype, device = getattr(torch, options.dtype), options.device
        self.model = load_model(options.model, dtype=dtype, family="audio", device=device).eval()
        self.encoder = load_text_encoder(options.text_encoder, dtype=dtype, device=device)
        self.sampling = Sampling(options.steps, "uniform", cfg=options.guidance)
        self.frames = self.model.config.train_frames
        self.digest = hashlib.sha256(Path(options.model).read_bytes()).hexdigest() if options.spectra else ""

    @property
    def seconds(self) -> float:
        return self.model.config.train_seconds

    def stretched(self, method: str, times: float) -> RopeScaling:
        """Return the scaling of clips so many times as long as in training; `auto` is what users get by it."""
        rope = RopeScaling(method, float(times), self.model.config.train_tokens)
        return rope.resolved(FAMILY.native(self.model.config))[0]

    def spectra(self, prompts: Sequence[str], frames: int = 0, seed: int = 0, **options: Any) -> Tensor:
        """Return spectra (B, bins, frames) of prompts; `options` are those of `sample_frames` and of the sampling."""
        frames = frames or self.frames
        sampling = replace(self.sampling, **{key: options.pop(key) for key in ("steps", "cfg") if key in options})
        if not self.options.spectra:
            return self.fresh(prompts, frames, seed, sampling, **options)
        named = repr((self.digest, list(prompts), frames, seed, sampling, options))
        file = self.options.spectra / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.npy"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, to_bytes(self.fresh(prompts, frames, seed, sampling, **options)))
        return torch.from_numpy(from_bytes(np.load(file)))

    def fresh(self, prompts: Sequence[str], frames: int, seed: int, sampling: Sampling, **options: Any) -> Tensor:
        made, parts, batch = [], options.pop("parts", None), self.options.batch
        for i in range(0, len(prompts), batch):
            some = prompts[i : i + batch]
            seeds = range(1000 * seed + i, 1000 * seed + i + len(some))
            heard = {"parts": parts and parts[i : i + batch], **options}
            made.append(sample_frames(self.model, self.encoder, some, seeds, frames, sampling, **heard).cpu())
        return torch.cat(made).float()

    def sample(self, prompts: Sequence[str], frames: int = 0, seed: int = 0, **options: Any) -> np.ndarray:
        """Return sound (B, samples) of prompts, as `spectra` and the vocoder make it."""
        spectra = self.spectra(prompts, frames, seed, **options).clamp(-5.0, 1.5)
        return torch.cat([MEL.griffin_lim(part) for part in spectra.split(32)]).numpy()


def named(method: str, rope: RopeScaling | None) -> str:
    """Return a method's name, and what `auto` is."""
    return method if rope is None or rope.method == method else f"{method}: {rope.method}"


def add_generator(parser: argparse.ArgumentParser, text_encoder: Path) -> None:
    """Add the options of a Generator."""
    add = parser.add_argument
    add("--model", type=Path, required=True)
    add("--text-encoder", type=Path, default=text_encoder)
    add("--steps", type=int, default=25)
    add("--guidance", type=float, default=3.0)
    add("--batch", type=int, default=20, help="clips at once")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--device", default="cpu", help="where the model is")
    add("--spectra", type=Path, help="folder that keeps the model's spectra, to be heard on another machine")
