"""Regions that are pictures of their own for the first steps, on our own network."""

import comfy.sample
import pytest
import torch

from lumina_next.nodes.adapter.patches.regions import KEY
from lumina_next.tests.nodes.conditioning.test_regions import SETTINGS, add, calls_of, half, two_regions
from lumina_next.tests.support.patch_models import load_own, prompt, sample


def test_areas_first_are_stock_areas_with_the_same_negative(stock):
    """Two halves: the model sees each half with its own prompt, then the whole picture with both."""
    model = load_own()
    positive = two_regions(areas_until=0.5)
    _, seen = calls_of(model, positive, steps=4)
    sizes = [(x.shape[-1], context.shape[1], KEY in kwargs) for x, _, context, _, kwargs in seen]
    apart = [(20, 3, False), (20, 5, False)]
    assert [size for size in sizes if size != (40, 6, False)] == apart * 2 + [(40, 14, True)] * 2
    assert sizes.count((40, 6, False)) == 4  # the negative prompt, on the whole picture
    drawn = sample(model, positive=positive, cfg=1.0, steps=1)
    noise = comfy.sample.prepare_noise(torch.zeros(1, 4, 24, 40), 7)
    options = {"steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "disable_pbar": True}
    for number, half_of in ((2, slice(0, 20)), (3, slice(20, 40))):
        latent = torch.zeros(1, 4, 24, 20)
        own = {"positive": prompt({2: 3, 3: 5}[number], number), "negative": prompt(6, 1), "latent_image": latent}
        alone = comfy.sample.sample(model, noise[..., half_of].contiguous(), **own, **options)
        torch.testing.assert_close(drawn[..., half_of], alone, atol=1e-5, rtol=1e-4)


def test_areas_scale_rope_by_their_own_size():
    """Each half is within the native size, the whole picture is not."""
    from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope

    scaled, _ = scale_rope(load_own(), "interpolation", 240)
    positive = two_regions(areas_until=1.0)
    assert torch.equal(sample(scaled, positive=positive, cfg=1.0), sample(load_own(), positive=positive, cfg=1.0))
    later = two_regions()
    assert not torch.equal(sample(scaled, positive=later, cfg=1.0), sample(load_own(), positive=later, cfg=1.0))


def test_the_last_node_of_a_chain_says_until_when_and_the_references_maths_has_no_areas():
    model = load_own()
    chain = add(add(prompt(6), prompt(3, 2), half("left"), areas_until=1.0), prompt(5, 3), half("right"))
    assert torch.equal(sample(model, positive=chain), sample(model, positive=two_regions()))
    reference = two_regions(maths="reference", areas_until=1.0)
    assert torch.equal(sample(model, positive=reference), sample(model, positive=two_regions(maths="reference")))


def test_a_node_of_before_areas_draws_as_it_did():
    assert "areas_until" not in SETTINGS
    model = load_own()
    assert torch.equal(sample(model, positive=two_regions()), sample(model, positive=two_regions(areas_until=0.0)))
    assert not torch.equal(sample(model, positive=two_regions()), sample(model, positive=two_regions(areas_until=0.5)))


def test_areas_refuse_a_controlnet():
    from comfy.controlnet import ControlBase

    class Control(ControlBase):
        def get_control(self, *args):
            return {"input": []}

    entry = prompt(6)[0]
    controlled = [[entry[0], entry[1] | {"control": Control()}]]
    with pytest.raises(ValueError, match="areas_until does not go together with a ControlNet"):
        sample(load_own(), positive=add(controlled, prompt(3, 2), half("left"), areas_until=0.5))
    sample(load_own(), positive=add(controlled, prompt(3, 2), half("left")), steps=1)
