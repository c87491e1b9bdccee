"""Small untrained models of points."""

from dataclasses import replace

import torch

from lumina_next.nextdit.models.points import PointConfig, PointNextDiT

TEXT_DIM = 128  # of the text encoder in the package
CONFIG = PointConfig(
    dim=32, n_layers=2, n_heads=2, n_kv_heads=1, text_dim=TEXT_DIM, ffn_dim=48, time_dim=16, features=4, train_points=16
)
LABELS = ("plane", "chair", "table")


def untrained(labels: bool = True) -> PointNextDiT:
    """A model of LABELS, or of text, whose layers all do something."""
    torch.manual_seed(0)
    model = PointNextDiT(replace(CONFIG, labels=LABELS) if labels else CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()
