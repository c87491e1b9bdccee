"""A whole run of our parts against diffusers' LuminaPipeline on the same tiny network, latent for latent."""

import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, LuminaPipeline

from lumina_next.nextdit import NextDiT, NextDiTConfig, RopeScaling
from lumina_next.nextdit.families import to_model_keys
from lumina_next.samplers import guide, integrate, times
from lumina_next.tests.nextdit.conftest import diffusers_model

CONFIG = NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24)
STEPS, SHIFT, SCALE = 8, 4.0, 4.0


@pytest.fixture(scope="module")
def pipeline():
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    pipeline = LuminaPipeline(
        transformer=diffusers_model(CONFIG),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=vae,
        text_encoder=None,
        tokenizer=None,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
@pytest.mark.parametrize("size", [(128, 128), (192, 128)])
def test_the_trajectory_equals_the_pipelines(pipeline, size):
    g = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 4, size[0] // 8, size[1] // 8, generator=g)
    text, negative = torch.randn(2, 2, 6, CONFIG.text_dim, generator=g)
    text_mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    negative_mask = torch.tensor([[1, 0, 0, 0, 0, 0]] * 2)
    theirs = []
    pipeline(
        prompt_embeds=text,
        prompt_attention_mask=text_mask,
        negative_prompt_embeds=negative,
        negative_prompt_attention_mask=negative_mask,
        height=size[0],
        width=size[1],
        num_inference_steps=STEPS,
        sigmas=torch.linspace(1, 0, STEPS + 1)[:-1].tolist(),
        guidance_scale=SCALE,
        scaling_watershed=0.3,
        latents=noise,
        output_type="latent",
        callback_on_step_end=lambda _, i, t, kept: theirs.append(kept["latents"].clone()) or {},
    )

    model = NextDiT(CONFIG)
    model.load_state_dict(to_model_keys(pipeline.transformer.state_dict()))
    rope = RopeScaling("time_aware_watershed", (size[0] * size[1] / 128**2) ** 0.5, train_tokens=8, proportional=True)
    both, both_mask = torch.cat([text, negative]), torch.cat([text_mask, negative_mask])

    def velocity(x, t):
        t = torch.as_tensor(t).expand(4)
        return guide(*model(x.repeat(2, 1, 1, 1), t, both, both_mask, rope=rope).chunk(2), SCALE, channels=3)

    grid = times("rational", STEPS, alpha=SHIFT)
    ours = [integrate(velocity, noise, grid[: i + 2], "euler") for i in range(STEPS)]
    assert len(theirs) == STEPS
    for mine, their in zip(ours, theirs, strict=True):
        assert (mine - their).abs().max() <= 1e-5 * their.abs().max()
