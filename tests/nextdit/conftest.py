"""Small random networks, ours and diffusers', with the same weights."""

import pytest
import torch
from diffusers import LuminaNextDiT2DModel

from lumina_next.nextdit import NextDiT, NextDiTConfig
from lumina_next.nextdit.families import to_model_keys

CONFIGS = {
    "grouped": NextDiTConfig(dim=96, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=40),
    "ungrouped": NextDiTConfig(dim=64, n_layers=3, n_heads=4, n_kv_heads=4, text_dim=24),
    "without_qk_norm": NextDiTConfig(dim=64, n_layers=2, n_heads=2, n_kv_heads=1, text_dim=24, qk_norm=False),
    "head_dim_72": NextDiTConfig(dim=288, n_layers=1, n_heads=4, n_kv_heads=1, text_dim=32),
    "wider_than_1024": NextDiTConfig(dim=1152, n_layers=1, n_heads=16, n_kv_heads=4, text_dim=32),
}


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every weight a seeded random value, gates and modulations included, so that nothing is switched off."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            spread = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.3
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
            if parameter.ndim == 1:
                parameter.add_(0.5)
    return model.eval()


def diffusers_model(config: NextDiTConfig) -> LuminaNextDiT2DModel:
    """Build diffusers' network of our config, seeded; both copies of each query and its norm are made one."""
    model = LuminaNextDiT2DModel(
        sample_size=16,
        patch_size=config.patch_size,
        in_channels=config.in_channels,
        hidden_size=config.dim,
        num_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        num_kv_heads=config.n_kv_heads,
        learn_sigma=config.out_channels > config.in_channels,
        qk_norm=config.qk_norm,
        cross_attention_dim=config.text_dim,
    )
    randomise(model)
    for layer in model.layers:
        layer.attn2.to_q.weight = layer.attn1.to_q.weight
        if config.qk_norm:
            layer.attn2.norm_q.load_state_dict(layer.attn1.norm_q.state_dict())
    return model


@pytest.fixture(params=CONFIGS)
def config(request) -> NextDiTConfig:
    return CONFIGS[request.param]


@pytest.fixture
def twins(config) -> tuple[NextDiT, LuminaNextDiT2DModel]:
    """Our network and diffusers', with the same weights."""
    theirs = diffusers_model(config)
    ours = NextDiT(config)
    ours.load_state_dict(to_model_keys(theirs.state_dict()))
    return ours.eval(), theirs
