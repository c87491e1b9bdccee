"""One way to sample small random multi-view models, for the tests of them."""

import comfy.sample
import torch

from lumina_next.nodes.adapter.models.views import with_views
from lumina_next.tests.support.untrained_multiview import CONFIG

from .patch_models import prompt

AZIMUTHS = (0.0, 130.0, 337.5)
VIEWS = len(AZIMUTHS)
SIZE = (12, 16)


def text(length: int, seed: int = 0, rows: int = 1) -> list:
    return prompt(length, seed, CONFIG.text_dim, rows)


def picture(rows: int = 1, size=SIZE, channels: int = 3) -> torch.Tensor:
    return torch.rand(rows, channels, *size, generator=torch.Generator().manual_seed(9))


def sample(patcher, positive=None, negative=None, batch=VIEWS, steps=2, size=SIZE, channels=3, cfg=3.0):
    latent = torch.zeros(batch, channels, *size)
    positive = with_views(text(6), AZIMUTHS) if positive is None else positive
    negative = with_views(text(2, 1), AZIMUTHS) if negative is None else negative
    noise = comfy.sample.prepare_noise(latent, 7)
    return comfy.sample.sample(
        patcher, noise, steps, cfg, "euler", "simple", positive, negative, latent, seed=7, disable_pbar=True
    )
