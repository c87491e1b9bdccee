"""Make the small untrained Next-DiT that stands in until a trained checkpoint exists.

`python -m lumina_next.demo.untrained_model FILE` writes it; what it draws is coloured noise.
"""

import sys
from pathlib import Path

import torch

from ..nextdit import NextDiT, NextDiTConfig, save_model

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


if __name__ == "__main__":
    write(Path(sys.argv[1]))
