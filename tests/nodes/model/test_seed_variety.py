"""Seed Variety in a real ComfyUI: where runs begin, which are left alone, and for which models."""

import comfy.sample
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from lumina_next.nodes.adapter.patches.seed_variety import WRAPPER
from lumina_next.nodes.model.seed_variety import SeedVariety
from lumina_next.samplers.variety import begin_on_colours
from lumina_next.tests.support.patch_models import load, prompt, sample, spied


def vary(model, strength: float):
    return SeedVariety.execute(model, strength).args[0]


def calls(model, **options) -> list[tuple[float, torch.Tensor]]:
    """Sigma and x of each call of the network."""
    seen = []
    model = spied(model, WrappersMP.APPLY_MODEL, lambda executor, x, t, *args, **kwargs: seen.append((float(t[0]), x)))
    sample(model, cfg=1.0, **options)
    return seen


@pytest.mark.parametrize("kind", ["lumina_next", "z_image"])
def test_a_run_begins_on_the_noises_own_colours(kind):
    model = load(kind)
    plain, varied = calls(model, batch=2), calls(vary(model, 0.1), batch=2)
    torch.testing.assert_close(varied[0][1], begin_on_colours(plain[0][1], 0.1), atol=1e-5, rtol=1e-5)
    assert [sigma for sigma, _ in varied] == pytest.approx([0.9 * sigma for sigma, _ in plain], abs=1e-6)
    assert sample(vary(model, 0.1), cfg=1.0).isfinite().all()


def test_no_strength_changes_nothing_and_the_last_node_counts():
    model = load("lumina_next")
    assert torch.equal(sample(vary(model, 0.0)), sample(model))
    twice = vary(vary(model, 0.3), 0.1)
    assert torch.equal(sample(twice), sample(vary(model, 0.1)))
    assert not vary(twice, 0.0).wrappers[WrappersMP.OUTER_SAMPLE].get(WRAPPER)
    assert WRAPPER not in model.wrappers.get(WrappersMP.OUTER_SAMPLE, {})


def test_runs_that_start_from_an_image_or_in_the_middle_stay_as_they_are():
    model = load("lumina_next")
    image = torch.randn(1, model.get_model_object("latent_format").latent_channels, 24, 40)
    for options in ({"latent": image}, {"latent": image, "denoise": 0.5}, {"denoise": 0.5}):
        assert torch.equal(sample(vary(model, 0.2), **options), sample(model, **options))


def test_a_run_that_leaves_noise_ends_where_the_next_one_begins():
    model, seen = load("lumina_next"), []
    latent = torch.zeros(1, model.get_model_object("latent_format").latent_channels, 8, 8)
    options = {"latent_image": latent, "positive": prompt(6), "negative": prompt(6), "disable_pbar": True}

    def sigmas_of(model, last_step: int) -> torch.Tensor:
        look = spied(
            model, WrappersMP.SAMPLER_SAMPLE, lambda executor, wrapped, sigmas, *args, **kw: seen.append(sigmas)
        )
        noise = comfy.sample.prepare_noise(latent, 7)
        steps = {"steps": 4, "last_step": last_step, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
        comfy.sample.sample(look, noise, **steps, **options)
        return seen[-1]

    plain, varied = sigmas_of(model, 2), sigmas_of(vary(model, 0.2), 2)
    assert varied[0] == pytest.approx(0.8 * float(plain[0]), abs=1e-6) and varied[-1] == plain[-1] > 0
    assert (varied.diff() < 0).all()
    late = sigmas_of(vary(model, 0.5), 1)  # it ends before it would begin
    assert torch.equal(late, sigmas_of(model, 1))


def test_a_model_that_is_no_flow_is_refused():
    model = load("lumina_next").clone()
    model.add_object_patch("model_sampling", torch.nn.Module())
    with pytest.raises(ValueError, match="expected a flow model, such as .*remove Seed Variety"):
        vary(model, 0.1)
