"""`python -m lumina_next.benchmarks.recognition.vit`: timm's plain ViT, trained as the demo's first stage.

It has learned positions, which are interpolated for other sizes, and as many parameters. Options as those of
`training.tasks.classifier`.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...training.data.recognition.batches import LabelledBatches
from ...training.loop.state import Run
from ...training.loop.trainer import Trainer, run_stage, start
from ...training.tasks.classifier import ClassifierTask, make_source, parse

PATCH = 8


class ViT(nn.Module):
    """A plain ViT of the demo's size: (B, 3, H, W) in [-1, 1] → logits (B, classes)."""

    def __init__(self, classes: int, side: int = 8):
        from timm.layers.config import set_fused_attn
        from timm.models.vision_transformer import VisionTransformer

        set_fused_attn(False)  # slower on CPUs
        super().__init__()
        self.vit = VisionTransformer(
            img_size=side * PATCH,
            patch_size=PATCH,
            num_classes=classes,
            embed_dim=128,
            depth=6,
            num_heads=4,
            class_token=False,
            global_pool="avg",
            dynamic_img_size=True,
        )
        self.config = SimpleNamespace(in_channels=3, patch_size=PATCH)

    @property
    def layers(self) -> Any:
        return self.vit.blocks

    def forward(self, pictures: Tensor) -> Tensor:
        return self.vit(pictures)


class ViTRun(Run):
    """A run whose checkpoint is not one of the pack's families."""

    def export(self, file: Path, metadata=None) -> None:
        """Write the averaged weights."""
        weights = {key: x.detach().contiguous() for key, x in self.averaged().state_dict().items()}
        save_file(weights, file, {"steps": str(self.step), **(metadata or {})})


def load(file: Path, classes: int) -> ViT:
    """Return a trained ViT."""
    model = ViT(classes)
    model.load_state_dict(load_file(file))
    return model.eval()


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build the ViT, its data and optimizers, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    source = make_source(options)
    batches = LabelledBatches(source, PATCH, options.side, options.count, options.seed)
    model = ViT(len(source), options.side)
    return start(model, ClassifierTask(source, options), batches, options, ViTRun)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
