"""Small untrained networks of classes and Flag-DiTs, whose layers all do something."""

from dataclasses import replace

import torch

from lumina_next.nextdit.models.class_image import ClassConfig, ClassDiT
from lumina_next.nextdit.models.flag import FlagConfig, FlagDiT

TEXT_DIM = 24
LABELS = ("ant", "bee", "cow")
SMALL = ClassConfig(dim=32, n_layers=2, n_heads=2, n_kv_heads=2, ffn_dim=48, time_dim=16, classes=3, labels=LABELS)
CLASSES = {
    "next": SMALL,
    "flag": replace(SMALL, block="flag"),
    "time": replace(SMALL, time_experts=3),
    "space": replace(SMALL, space_experts=3),
    "both": replace(SMALL, time_experts=3, space_experts=2),
    "imagenet": replace(SMALL, classes=1000, labels=()),
}
T2I = FlagConfig(dim=32, n_layers=2, n_heads=2, n_kv_heads=1, ffn_dim=48, time_dim=16, text_dim=TEXT_DIM)


def untrained(name: str = "next") -> ClassDiT | FlagDiT:
    """A network of a config of CLASSES, or "t2i", a Flag-DiT of texts."""
    torch.manual_seed(0)
    model = FlagDiT(T2I) if name == "t2i" else ClassDiT(CLASSES[name])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()
