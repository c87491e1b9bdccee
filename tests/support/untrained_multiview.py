"""Make a small untrained multi-view Next-DiT in pixel space; it draws coloured noise, another one at every azimuth."""

from pathlib import Path

import torch

from lumina_next.nextdit import MultiViewNextDiT, NextDiTConfig, save_model
from lumina_next.nextdit.models.multiview import MultiViewConfig

CONFIG = NextDiTConfig(
    dim=48,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    text_dim=128,  # the width of the text encoder in the box
    in_channels=3,  # pixels
    out_channels=3,
    patch_size=4,
    ffn_dim=96,
    time_dim=48,
)


def untrained(config: NextDiTConfig = CONFIG, rope_axes: int = 2, seed: int = 0) -> MultiViewNextDiT:
    """Return a model with seeded random weights, azimuths and text strong enough to be seen."""
    generator = torch.Generator().manual_seed(seed)
    model = MultiViewNextDiT(MultiViewConfig.of(config, rope_axes))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            centre = 1.0 if "norm" in name and name.endswith("weight") and "gate" not in name else 0.0
            spread = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.1
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator))
    return model


def write(file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a model of CONFIG, bfloat16; the same bytes on every call."""
    save_model(untrained().bfloat16(), file, {"title": "Lumina-Next untrained stand-in", **(metadata or {})})
