"""What the stock nodes' own regions are, which docs/regions.md compares with."""

import comfy.sample
import torch

from lumina_next.tests.nodes.conditioning.test_regions import half
from lumina_next.tests.support.patch_models import load_own, prompt, sample


def test_the_stock_nodes_own_regions_average_velocities_outside_of_the_network(stock):
    model = load_own()
    parts = [
        stock.ConditioningSetMask().append(prompt(4, seed), half(side), "default", 1.0)[0]
        for seed, side in ((2, "left"), (3, "right"))
    ]
    (both,) = stock.ConditioningCombine().combine(*parts)
    whole = [sample(model, positive=prompt(4, seed), cfg=1.0, steps=1) for seed in (2, 3)]
    mixed = sample(model, positive=both, cfg=1.0, steps=1)
    torch.testing.assert_close(mixed[..., :18], whole[0][..., :18], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[..., 22:], whole[1][..., 22:], atol=1e-5, rtol=1e-4)
    (area,) = stock.ConditioningSetArea().append(prompt(4, 2), 160, 96, 0, 0, 1.0)
    (both,) = stock.ConditioningCombine().combine(area, prompt(4, 3))
    mixed = sample(model, positive=both, cfg=1.0, steps=1)
    torch.testing.assert_close(mixed[..., 12:, :], whole[1][..., 12:, :], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[..., 20:], whole[1][..., 20:], atol=1e-5, rtol=1e-4)
    # core paints the area as a picture of its own, and softens its inner edges over 8 cells
    noise = comfy.sample.prepare_noise(torch.zeros(1, 4, 24, 40), 7)[..., :12, :20]
    options = {"positive": prompt(4, 2), "negative": prompt(6, 1), "latent_image": torch.zeros_like(noise)}
    alone = comfy.sample.sample(
        model, noise, steps=1, cfg=1.0, sampler_name="euler", scheduler="simple", disable_pbar=True, **options
    )
    corner = (alone + whole[1][..., :12, :20])[..., :4, :12] / 2
    torch.testing.assert_close(mixed[..., :4, :12], corner, atol=1e-5, rtol=1e-4)
