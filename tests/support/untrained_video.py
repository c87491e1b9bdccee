"""Make a small untrained video Next-DiT in pixel space; it draws coloured noise, another one in every frame."""

from pathlib import Path

import torch

from lumina_next.nextdit import NextDiTConfig, VideoNextDiT, save_model
from lumina_next.nextdit.models.video import VideoConfig
from lumina_next.tests.support.untrained_multiview import CONFIG


def untrained(config: NextDiTConfig = CONFIG, frame_width: int | None = None, seed: int = 0) -> VideoNextDiT:
    """Return a model with seeded random weights, places and text strong enough to be seen."""
    generator = torch.Generator().manual_seed(seed)
    model = VideoNextDiT(VideoConfig.of(config, frame_width))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            centre = 1.0 if "norm" in name and name.endswith("weight") and "gate" not in name else 0.0
            spread = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.1
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator))
    return model


def write(file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a model of CONFIG, bfloat16; the same bytes on every call."""
    told = {"title": "Lumina-Next untrained stand-in", "train_tokens": "8", "train_frames": "8", **(metadata or {})}
    save_model(untrained().bfloat16(), file, told)
