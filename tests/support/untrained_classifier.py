"""A small untrained classifier."""

import torch

from lumina_next.nextdit.models.classifier import ClassifierConfig, ClassifierNextDiT

LABELS = {
    "en": ("dog", "cat", "red apple", "car"),
    "ja": ("犬", "猫", "りんご", "車"),
    "emoji": ("🐶", "🐱", "🍎", "🚗"),
}
CONFIG = ClassifierConfig(dim=32, n_layers=2, n_heads=2, labels=LABELS, ffn_dim=64, max_patches=400)


def untrained(config: ClassifierConfig = CONFIG) -> ClassifierNextDiT:
    """A classifier whose layers all do something."""
    torch.manual_seed(0)
    model = ClassifierNextDiT(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()
