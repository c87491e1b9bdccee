"""A judge of point clouds that knows none of the shapes that the generator saw: a small PointNet (Qi et al. 2017)."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nextdit.clouds.shape import fit

POINTS = 512
NOISE = 0.02  # of the points in training, at most: generated clouds are not clean


class Judge(nn.Module):
    """Clouds (B, N, 3) → logits (B, labels): a network on every point, the maximum over all, and one on that."""

    def __init__(self, labels: int):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 256))
        self.all = nn.Sequential(nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, labels))

    def forward(self, clouds: Tensor) -> Tensor:
        return self.all(self.each(clouds).amax(1))


def picked(cloud: Tensor, generator: torch.Generator) -> Tensor:
    """Return POINTS random points of a cloud (N, 3), again and again where it has fewer."""
    order = torch.randperm(len(cloud), generator=generator)
    return cloud[order.repeat(-(-POINTS // len(cloud)))[:POINTS]]


def train(clouds: np.ndarray, steps: int = 1500, batch: int = 32, seed: int = 0) -> Judge:
    """Return a judge trained on clouds (labels, shapes, points, 3)."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    judge, data = Judge(len(clouds)), torch.from_numpy(clouds.astype(np.float32))
    optimizer = torch.optim.AdamW(judge.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    for _ in range(steps):
        labels, shapes = (torch.randint(n, (batch,), generator=generator) for n in clouds.shape[:2])
        points = torch.stack(
            [picked(data[label, shape], generator) for label, shape in zip(labels, shapes, strict=True)]
        )
        noise = NOISE * torch.rand(batch, 1, 1, generator=generator)
        points = points + noise * torch.randn(points.shape, generator=generator)
        F.cross_entropy(judge(points), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return judge.eval()


@torch.inference_mode()
def judged(judge: Judge, clouds: Sequence[Tensor]) -> Tensor:
    """Return the label (B,) that a judge sees in each cloud (N, 3)."""
    generator = torch.Generator().manual_seed(0)
    return judge(torch.stack([picked(fit(cloud.cpu())[0], generator) for cloud in clouds])).argmax(1)
