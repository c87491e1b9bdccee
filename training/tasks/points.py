"""Stage 2 of points, `python -m lumina_next.training.tasks.points`: point clouds from labels, or from captions.

With `--text-encoder` the model is one of text, else one of labels. Trains on what `training.data.points.prepare` made,
with 256 points a cloud; `--model` and `--points 2048` fine-tune. Goes on when called again with the same `--run`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...nextdit import Call, load_model
from ...nextdit.clouds.picture import from_side
from ...nextdit.layers.attend import default_attend
from ...nextdit.layers.point_features import DEFAULT, METHODS
from ...nextdit.models.points import PointConfig, PointNextDiT
from ...nextdit.text import load_text_encoder
from ...pipelines.points import sample_points
from ...pipelines.sampling import Sampling
from ..data.points.batches import PointBatch, PointBatches
from ..data.points.prepare import load
from ..data.points.shapes import LABELS
from ..loop.attention import folded_attention
from ..loop.flow import flow_loss, initialise
from ..loop.graph import GraphTrainer
from ..loop.text import CachedTexts
from ..loop.trainer import Trainer, parser, run_stage, start

CENTRE = 0.5  # of training times on the logit scale: clouds are half as wide as the noise


SIZES = {
    "small": PointConfig(dim=96, n_layers=5, n_heads=3, n_kv_heads=3, text_dim=64, ffn_dim=256, time_dim=64),
    "large": PointConfig(dim=128, n_layers=5, n_heads=4, n_kv_heads=4, text_dim=32, ffn_dim=288, time_dim=64),
}
"""Architectures: that of the demo's model of texts, and of labels, which has half as many weights again."""


def demo_config(text_dim: int = 0, size: str = "small") -> PointConfig:
    """Return an architecture of SIZES: of text features of a width, or of labels."""
    return replace(SIZES[size], text_dim=text_dim) if text_dim else replace(SIZES[size], labels=LABELS)


def shares(labels: Tensor, count: int) -> Tensor:
    """Return labels (B,), -1 for none, as a label model takes them: shares (B, 1, count)."""
    return F.one_hot(labels + 1, count + 1)[:, None, 1:].float()


def paired(noise: Tensor, data: Tensor) -> Tensor:
    """Return noise (B, 3, N) in the order in which it is nearest to data (B, 3, N): the least sum of squared distances.

    Optimal transport in each cloud, whose points have no order (Klein et al. 2023, Song et al. 2023).
    """
    costs = torch.cdist(data.transpose(1, 2).float(), noise.transpose(1, 2).float()).square().cpu().numpy()
    orders = torch.from_numpy(np.stack([linear_sum_assignment(cost)[1] for cost in costs])).to(noise.device)
    return noise.gather(2, orders[:, None].expand_as(noise))


class PointTask:
    """Points from labels or captions."""

    def __init__(self, texts: CachedTexts | None, options: argparse.Namespace):
        self.texts, self.options = texts, options

    def told(self, model: PointNextDiT, batch: PointBatch) -> tuple[Tensor, Tensor | None]:
        """Return what the network is told of a batch."""
        if self.texts is not None:
            return self.texts(batch.prompts)
        return shares(batch.labels, len(model.config.labels)).to(self.options.device), None

    def inputs(self, model: PointNextDiT, batch: PointBatch) -> list[Tensor]:
        """Return clouds and what the network is told of them, a text's mask last."""
        text, mask = self.told(model, batch)
        return [batch.points.to(text.device), text, *(() if mask is None else (mask,))]

    def loss_of(self, model: PointNextDiT, inputs: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        points, text, *mask = inputs
        call = Call(attend=folded_attention if text.device.type == "cpu" else default_attend)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return model.velocity(x, t, text, *mask or (None,), call)

        return flow_loss(velocity, points, generator, CENTRE, pair=paired if self.options.paired else None)

    def loss(self, model: PointNextDiT, batch: PointBatch, generator: torch.Generator) -> Tensor:
        return self.loss_of(model, self.inputs(model, batch), generator)

    def about(self, model: PointNextDiT) -> dict[str, str]:
        return {}

    def show(self, model: PointNextDiT, file: Path, spent: float) -> None:
        """Draw a cloud of each label, or of its English name, with as many points as in training."""
        labels = torch.arange(len(LABELS))
        text, mask = self.told(model, PointBatch(torch.empty(0), labels, [f"a {label}" for label in LABELS]))
        x = torch.randn(len(LABELS), 3, self.options.points, generator=torch.Generator().manual_seed(0))
        drawn = sample_points(model, x, text, mask, Sampling(10, "uniform", cfg=1.0)).cpu()
        row = torch.cat([from_side(cloud.T, 30.0) for cloud in drawn], dim=1)
        Image.fromarray(row.numpy()).save(file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Next points demo", text=False)
    add = stage.add_argument
    add("--model", type=Path, help="checkpoint to start from; of the other kind it gives what both have")
    add("--points", type=int, default=256, help="points of a cloud")
    add("--size", choices=tuple(SIZES), default="small", help="of the network")
    add("--clouds", type=int, default=16, help="clouds of a batch")
    add("--graph", action="store_true", help="on CUDA: replay every step as one graph, three times as fast")
    add("--scaling", choices=tuple(METHODS), default=DEFAULT, help="how features scale with time")
    add("--paired", action="store_true", help="give every point of noise the point of the cloud that suits it best")
    return stage.parse_args(arguments)


def make_model(options: argparse.Namespace, text_dim: int) -> PointNextDiT:
    """Return the network to train: untrained, or with all weights of --model that fit."""
    told = {"scaling": options.scaling, "train_points": options.points, "paired": options.paired}
    config = replace(demo_config(text_dim, options.size), **told)
    model = initialise(PointNextDiT(config))
    if options.model:
        weights = load_model(options.model, dtype=torch.float32, family="points").state_dict()
        own = model.state_dict()
        model.load_state_dict(own | {key: x for key, x in weights.items() if key in own and x.shape == own[key].shape})
    return model


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    texts = None
    if options.text_encoder:
        encoder = load_text_encoder(options.text_encoder, device=options.device, dtype=torch.float32)
        texts = CachedTexts(encoder, torch.device(options.device), together=options.graph)
    model = make_model(options, 0 if texts is None else encoder.width)
    clouds = load(options.cache, "train")
    batches = PointBatches(clouds, options.points, options.clouds, options.seed, device=options.device)
    task = PointTask(texts, options)
    return start(model, task, batches, options, trains=GraphTrainer if options.graph else Trainer)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
