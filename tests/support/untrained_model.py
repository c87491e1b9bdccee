"""Make a small untrained Next-DiT in pixel space, faster than the demo checkpoint; it draws coloured noise."""

from pathlib import Path

import torch

from lumina_next.nextdit import NextDiT, NextDiTConfig, save_model

CONFIG = NextDiTConfig(
    dim=64,
    n_layers=3,
    n_heads=4,
    n_kv_heads=2,
    text_dim=64,  # the untrained text encoder's width
    in_channels=3,  # pixels
    out_channels=3,
    patch_size=4,
    ffn_dim=192,
    time_dim=64,
)


def write(file: Path, seed: int = 0) -> None:
    """Write a NextDiT of CONFIG with seeded random weights, bfloat16; the same bytes on every call."""
    generator = torch.Generator().manual_seed(seed)
    model = NextDiT(CONFIG)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            spread = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.1
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator))
    save_model(model.bfloat16(), file, {"title": "Lumina-Next untrained stand-in"})
