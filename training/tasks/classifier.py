"""Stage 2 of recognition, `python -m lumina_next.training.tasks.classifier`: pictures to labels.

Trains on the emoji that `training.data.recognition.prepare` drew, or with `--pictures` on a folder that has a folder of
pictures for each label. `--any-size` with `--model` is the second stage: sizes and shapes of all kinds. Goes on when
called again with the same `--run`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...nextdit import load_model
from ...nextdit.layers.attend import default_attend
from ...nextdit.models.classifier import UNTIMED, ClassifierConfig, ClassifierNextDiT
from ..data.emoji.pictures import on_background, to_tensor
from ..data.recognition import prepare
from ..data.recognition.batches import LabelledBatch, LabelledBatches, Source
from ..data.recognition.sources import EmojiSource, FolderSource
from ..data.recognition.styles import STYLES
from ..loop.attention import folded_attention
from ..loop.trainer import Trainer, parser, run_stage, start


def demo_config(labels: dict[str, list[str]]) -> ClassifierConfig:
    """Return the demo's architecture, for labels by language."""
    return ClassifierConfig(128, 6, 4, {language: tuple(names) for language, names in labels.items()})


def initialise(model: nn.Module) -> nn.Module:
    """Return a network made ready for training: Xavier matrices, small last layer."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if name == "head.2":
                nn.init.normal_(module.weight, std=0.02)
    return model


class ClassifierTask:
    """Labels of pictures; `how` are arguments of the network in training."""

    def __init__(self, source: Source, options: argparse.Namespace, **how: Any):
        self.source, self.options, self.how = source, options, how

    def loss(self, model: nn.Module, batch: LabelledBatch, generator: torch.Generator) -> Tensor:
        del generator
        device = torch.device(self.options.device)
        pictures = batch.pictures
        on_device = pictures.to(device) if isinstance(pictures, Tensor) else [each.to(device) for each in pictures]
        log_shares = F.log_softmax(model(on_device, **self.how).float(), dim=-1)
        return -(batch.targets.to(device) * log_shares).sum(-1).mean()

    def about(self, model: nn.Module) -> dict[str, str]:
        # without --patches there are none to tell
        return dict(zip(("min_patches", "max_patches"), map(str, self.options.patches), strict=False))

    @torch.inference_mode()
    def show(self, model: nn.Module, file: Path, spent: float) -> None:
        """Draw the test's pictures, those that the model takes for something else darkened; the name tells how many."""
        pictures, labels = test_pictures(self.source, self.options)
        found = torch.cat([model(part.to(self.options.device)).argmax(-1).cpu() for part in pictures.split(64)])
        right = found == labels
        shown = (pictures[:100] + 1) / 2 * torch.where(right[:100], 1.0, 0.4)[:, None, None, None]
        shown = F.pad(shown, (0, 0, 0, 0, 0, 0, 0, -len(shown) % 10))
        rows = torch.cat(list(shown.unflatten(0, (-1, 10)).transpose(0, 1)), dim=-1)
        whole = torch.cat(list(rows), dim=-2)
        name = f"{file.stem}-{100 * right.float().mean():.1f}-percent{file.suffix}"
        Image.fromarray((whole * 255).byte().permute(1, 2, 0).numpy()).save(file.with_name(name))


def test_pictures(source: Source, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return pictures of the size in the first stage that training does not see, (N, 3, H, W), and their labels."""
    side = 8 * options.side
    if isinstance(source, FolderSource):
        kept = [(label, file) for label, files in enumerate(source.tested) for file in files]
        rows = [np.asarray(Image.open(file).convert("RGB").resize((side, side))) for _, file in kept]
        return to_tensor(rows), torch.tensor([label for label, _ in kept])
    drawn = prepare.pictures(options.cache, options.test_style, 64)
    present = prepare.load(options.cache)[1][options.test_style]
    pictures = to_tensor(list(on_background(np.asarray(drawn)[present])))
    return F.interpolate(pictures, (side, side), mode="bicubic", antialias=True), torch.tensor(present)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Next recognition demo", text=False)
    add = stage.add_argument
    add("--model", type=Path, help="checkpoint to start from")
    add("--pictures", type=Path, metavar="FOLDER", help="train on this, a folder of pictures for each label")
    add("--styles", nargs="+", default=(), help=f"train on these of {', '.join(STYLES)} only")
    add("--test-style", default="noto", choices=tuple(STYLES), help="what the samples show")
    add("--any-size", action="store_true", help="sizes and shapes of all kinds: the second stage")
    add("--side", type=int, default=8, help="patches per side in the first stage")
    add("--count", type=int, default=128, help="pictures of a batch in the first stage; its patches in the second")
    add("--sandwich", action=argparse.BooleanOptionalAction, default=True, help="norms after the sub-layers too")
    add(
        "--patches",
        nargs=2,
        type=int,
        default=(),
        metavar=("LEAST", "MOST"),
        help="of a picture; none larger is trained on",
    )
    add("--rope", choices=UNTIMED, help="how RoPE is scaled in larger pictures; default: interpolation, or the model's")
    return stage.parse_args(arguments)


def make_model(options: argparse.Namespace, source: Source) -> ClassifierNextDiT:
    """Return the network to train: untrained, or that of --model. Raises ValueError if it has other labels."""
    scaling = {} if options.rope is None else {"scaling": options.rope}
    if options.model is None:
        config = replace(demo_config(source.labels), sandwich=options.sandwich, train_tokens=options.side, **scaling)
        return initialise(ClassifierNextDiT(config))
    model = load_model(options.model, dtype=torch.float32, family="classifier")
    if model.config.classes != len(source):
        raise ValueError(f"{options.model} knows {model.config.classes} labels, the pictures have {len(source)}")
    model.config = replace(model.config, **scaling)
    return model


def make_source(options: argparse.Namespace) -> Source:
    """Return where the options' pictures come from."""
    if options.pictures is not None:
        return FolderSource(options.pictures)
    return EmojiSource(options.cache, tuple(options.styles))


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    source = make_source(options)
    model = make_model(options, source)
    patch = model.config.patch_size
    most = {"most": options.patches[1]} if options.patches else {}
    batches = LabelledBatches(source, patch, options.side, options.count, options.seed, options.any_size, **most)
    attend = folded_attention if options.device == "cpu" else default_attend
    return start(model, ClassifierTask(source, options, attend=attend), batches, options)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
