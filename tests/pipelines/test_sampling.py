"""Pictures drawn from where a run left off."""

import pytest
import torch

from lumina_next.nextdit import load_model
from lumina_next.pipelines.sampling import Sampling, noise, sample
from lumina_next.samplers import guide, integrate, times
from lumina_next.tests.support import untrained_model


@pytest.fixture
def model(tmp_path):
    untrained_model.write(tmp_path / "model.safetensors")
    return load_model(tmp_path / "model.safetensors")


def test_a_run_that_begins_late_goes_on_as_the_whole_would(model):
    width = model.config.text_dim

    def encoder(prompts: list[str]):
        text = torch.stack([torch.full((3, width), float(len(prompt))) for prompt in prompts])
        return text, torch.ones(len(prompts), 3)

    x, states = noise([0, 1], 16, 16), {}
    ten = Sampling(10, "uniform", cfg=2.0)
    prompts, grid = ["fox", "a red apple"], times("uniform", 10)
    text, mask = encoder([*prompts, "", ""])

    @torch.inference_mode()
    def velocity(x, t):
        return guide(*model(x.repeat(2, 1, 1, 1), t.expand(4), text, mask.bool()).chunk(2), 2.0)

    whole = integrate(velocity, x, grid, "euler", on_step=lambda i, t, x, v: states.update({i: x.clone()}))
    torch.testing.assert_close(sample(model, encoder, prompts, x, ten), whole)
    late = sample(model, encoder, prompts, states[7], ten.shortened(0.7), begin=0.7)
    torch.testing.assert_close(late, whole, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(sample(model, encoder, prompts, states[7], ten.shortened(0.7)), whole, atol=1e-3)
