"""A small native model with random weights: its file, its MODEL, and a few sampled steps of it."""

import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.utils
import pytest
import torch

from lumina_next.nextdit import NextDiT, NextDiTConfig, save_model
from lumina_next.nodes.adapter.models import loading

CONFIG = NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24, ffn_dim=96)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    model = NextDiT(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def patcher(file):
    return loading.load(file)


def conditioning(length, seed=0, **extra):
    features = torch.randn(1, length, CONFIG.text_dim, generator=torch.Generator().manual_seed(seed))
    return [[features, extra]]


def sample(patcher, positive=None, negative=None, latent=None, steps=3, cfg=4.0, **kwargs):
    latent = torch.zeros(1, 4, 12, 16) if latent is None else latent
    noise = comfy.sample.prepare_noise(latent, 7)
    positive, negative = positive or conditioning(6), negative or conditioning(2, 1)
    return comfy.sample.sample(
        patcher, noise, steps, cfg, "euler", "simple", positive, negative, latent, seed=7, disable_pbar=True, **kwargs
    )
