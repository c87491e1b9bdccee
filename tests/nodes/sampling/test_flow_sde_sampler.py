"""Flow SDE Sampler on a native MODEL, against the pure one on the bare network."""

import comfy.sample
import pytest
import torch
from comfy.k_diffusion.sampling import default_noise_sampler

from lumina_next.nextdit import save_model
from lumina_next.nodes.adapter.models import class_image, loading
from lumina_next.nodes.sampling.flow_sde_sampler import FlowSdeSampler
from lumina_next.samplers import integrate_sde, sde_times
from lumina_next.tests.support.untrained_classes import untrained

STEPS, SEED = 4, 5
DEFAULTS = {"method": "euler", "diffusion": "sigma", "norm": 1.0, "last_step": "mean", "last_step_size": 0.04}


@pytest.fixture(scope="module")
def patcher(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(untrained(), path)
    return loading.load(path)


def start():
    return torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))


def sample(patcher, sigmas=None, callback=None, **options):
    (sampler,) = FlowSdeSampler.execute(**(DEFAULTS | options)).args
    positive, negative, _ = class_image.class_conditioning(patcher, "", "cow")
    sigmas = torch.linspace(1, 0, STEPS + 1) if sigmas is None else sigmas
    given = {"latent_image": torch.zeros_like(start()), "callback": callback, "disable_pbar": True, "seed": SEED}
    samples = comfy.sample.sample_custom(patcher, start(), 1.0, sampler, sigmas, positive, negative, **given)
    return patcher.model.process_latent_in(samples)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"method": "heun", "diffusion": "decreasing", "last_step": "euler"}])
def test_it_follows_the_sde_that_the_bare_network_follows(patcher, options):
    network, label, x = untrained(), torch.tensor([2, 2]), start()
    settings = DEFAULTS | options
    grid = sde_times(torch.linspace(0, 1, STEPS + 1, dtype=torch.float64), settings.pop("last_step_size"))
    draw, sigma = default_noise_sampler(x, seed=SEED), torch.tensor(1.0)
    expected = integrate_sde(
        lambda x, t: network(x, t.float().expand(2), label), x, grid, lambda: draw(sigma, sigma), **settings
    )
    torch.testing.assert_close(sample(patcher, **options), expected, rtol=1e-3, atol=2e-3)


def test_the_seed_decides_and_every_step_is_shown(patcher):
    shown = []
    first = sample(patcher, callback=lambda step, denoised, x, total: shown.append((step, total)))
    assert torch.equal(first, sample(patcher))
    assert shown == [(i, STEPS) for i in range(STEPS)]
    assert torch.isfinite(sample(patcher, sigmas=torch.linspace(0.7, 0.2, 3))).all()


def test_wrong_settings_are_refused_before_sampling(patcher):
    with pytest.raises(ValueError, match="norm must be from 0 to 10"):
        FlowSdeSampler.execute(**(DEFAULTS | {"norm": 11.0}))
    with pytest.raises(ValueError, match="last_step_size must be from 0 to 1"):
        FlowSdeSampler.execute(**(DEFAULTS | {"last_step_size": 2.0}))
    with pytest.raises(ValueError, match="Flow SDE Sampler needs sigmas that descend"):
        sample(patcher, sigmas=torch.tensor([0.5, 0.7, 0.0]))
