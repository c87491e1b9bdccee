"""Regional prompts through ComfyUI's own sampling: what reaches the network, what combines, what is refused."""

from dataclasses import replace

import comfy.sample
import comfy.sd
import pytest
import torch
import torch.nn.functional as F
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit.call import Call
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.models.flag import FlagDiT
from lumina_next.nextdit.regions import Region, Regions
from lumina_next.nextdit.span import Span
from lumina_next.nodes.adapter.patches.regions import KEY, MASKS, area_mask
from lumina_next.nodes.conditioning import regional_prompt
from lumina_next.nodes.conditioning.regional_prompt import RegionalPrompt
from lumina_next.tests.support.patch_models import load_own, prompt, sample, spied
from lumina_next.tests.support.untrained_classes import T2I

SETTINGS = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}


def add(conditioning, region, mask=None, maths="normalised", **settings):
    return RegionalPrompt.execute(conditioning, region, maths, mask, **SETTINGS | settings).result[0]


def half(side: str, size=(64, 64)) -> torch.Tensor:
    mask = torch.zeros(1, *size)
    middle = size[1] // 2
    if side == "left":
        mask[..., :middle] = 1.0
    else:
        mask[..., middle:] = 1.0
    return mask


def two_regions(**settings):
    return add(add(prompt(6), prompt(3, 2), half("left"), **settings), prompt(5, 3), half("right"), **settings)


def calls_of(model, positive, **options):
    """Sample, and return the arguments of every call of the network: x, t, context, mask and the rest."""
    seen = []

    def look(executor, x, t, context, mask, *args, **kwargs):
        seen.append((x, 1 - t, context, mask, kwargs))

    result = sample(spied(model, WrappersMP.DIFFUSION_MODEL, look), positive=positive, **options)
    return result, seen


def test_the_network_computes_nextdits_regions_for_every_picture_of_a_batch():
    model = load_own()
    positive = add(prompt(6), prompt(3, 2), half("left", (7, 9)), strength=0.5, global_weight=0.25)
    positive = add(positive, prompt(5, 3), torch.rand(2, 30, 10), end_percent=0.5)  # a mask a picture
    _, seen = calls_of(model, positive, size=(11, 14), steps=3, batch=2)
    regional = [call for call in seen if KEY in call[4]]
    assert len(regional) == len(seen) // 2 == 3  # the negative prompt runs on its own
    for x, t, context, mask, kwargs in regional:
        sizes = (6, 3, 5)
        assert context.shape[:2] == (2, sum(sizes)) and kwargs[MASKS].shape == (2, 2, 11, 14)
        regions = Regions(6, (Region(3, 0.5, 0.25), Region(5, span=Span(0.0, 0.5))))
        weights = regions.weights(kwargs[MASKS], t, 2)
        network = model.model.diffusion_model
        with torch.no_grad():
            expected = network.velocity(
                x, t, context, mask, Call(cross=regions.cross(weights, sdpa), pooled=context[:, :6].mean(1))
            )
            torch.testing.assert_close(-network(x, 1 - t, context, mask, **kwargs), expected, atol=1e-5, rtol=1e-4)
    limits = [call[4][KEY].regions[1] for call in regional]
    assert all(region.span == Span(0.0, 0.5) for region in limits)


def test_masks_of_any_size_are_averaged_to_the_latent():
    _, seen = calls_of(load_own(), add(prompt(6), prompt(3, 2), half("left", (3, 6))), size=(10, 12), steps=1)
    (masks,) = [kwargs[MASKS] for *_, kwargs in seen if KEY in kwargs]
    expected = torch.zeros(1, 1, 10, 12)
    expected[..., :6] = 1.0
    torch.testing.assert_close(masks, expected)


def test_a_full_region_with_the_global_prompt_is_the_plain_prompt():
    model = load_own()
    torch.testing.assert_close(
        sample(model, positive=add(prompt(6), prompt(6), global_weight=0.5)), sample(model), atol=2e-5, rtol=1e-4
    )


def test_every_setting_acts():
    model = load_own()
    base = two_regions()
    variants = [
        prompt(6),
        base,
        two_regions(strength=0.5),
        two_regions(global_weight=0.3),
        two_regions(start_percent=0.5),
        two_regions(end_percent=0.5),
        two_regions(maths="reference", strength=0.9),
        add(base, prompt(4, 9), half("left")),
    ]
    pictures = [sample(model, positive=positive, steps=4) for positive in variants]
    for i, picture in enumerate(pictures):
        assert torch.isfinite(picture).all()
        assert not any(torch.equal(picture, other) for other in pictures[:i]), f"variant {i} changes nothing"


def test_ranges_follow_a_shift_and_the_first_and_last_step_belong_to_them():
    from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow

    (shifted,) = ModelSamplingAuraFlow().patch_aura(load_own(), 4.0)
    first = add(prompt(6), prompt(3, 2), half("left"), end_percent=0.5)
    both = add(first, prompt(5, 3), half("left"), start_percent=0.5)
    _, seen = calls_of(shifted, both, steps=8)
    for _, t, *_, kwargs in seen:
        if KEY in kwargs:
            heard = kwargs[KEY].weights(kwargs[MASKS], t, 2)[0, 1:].amax(-1).tolist()
            assert heard == ([1.0, 0.0] if t[0] < 0.2 - 1e-6 else [0.0, 1.0])  # half way lies at sigma 0.8
    always = add(prompt(6), prompt(3, 2))
    (regions,) = [kwargs[KEY] for *_, kwargs in calls_of(shifted, always, steps=1)[1] if KEY in kwargs]
    assert regions.weights(torch.ones(1, 1, 2, 2), torch.tensor([0.0, 1.0]), 2).flatten().tolist() == [0, 1, 0, 1]


def test_stock_nodes_say_where_when_and_how_much(stock):
    model = load_own()
    (masked,) = stock.ConditioningSetMask().append(prompt(3, 2), half("left"), "default", 0.5)
    (timed,) = stock.ConditioningSetTimestepRange().set_range(masked, 0.0, 0.5)
    (placed,) = stock.ConditioningSetAreaPercentage().append(prompt(5, 3), 0.5, 1.0, 0.5, 0.0, 2.0)
    (together,) = stock.ConditioningCombine().combine(timed, placed)
    ours = add(prompt(6), prompt(3, 2), half("left"), strength=0.5, end_percent=0.5)
    ours = add(ours, prompt(5, 3), half("right"), strength=2.0)
    assert torch.equal(sample(model, positive=add(prompt(6), together)), sample(model, positive=ours))


def test_areas():
    assert area_mask((2, 3, 1, 0), 4, 4)[0].tolist() == [[0] * 4, [1, 1, 1, 0], [1, 1, 1, 0], [0] * 4]
    assert area_mask(("percentage", 0.5, 0.25, 0.5, 0.75), 4, 4)[0].tolist() == [[0] * 4] * 2 + [[0, 0, 0, 1]] * 2


def test_conditioning_nodes_after_it_keep_the_regions(stock):
    model = load_own()
    base = two_regions()
    (ranged,) = stock.ConditioningSetTimestepRange().set_range(base, 0.0, 0.5)
    (rest,) = stock.ConditioningSetTimestepRange().set_range(prompt(6), 0.5, 1.0)
    (both,) = stock.ConditioningCombine().combine(ranged, rest)
    _, seen = calls_of(model, both, steps=4)
    assert {(KEY in kwargs, bool(t[0] < 0.49)) for _, t, *_, kwargs in seen if kwargs or t[0] > 0.51} >= {
        (True, True),
        (False, False),
    }


def test_two_regional_conditionings_of_equal_parts_share_a_batch_and_others_do_not():
    model = load_own()
    positive, negative = two_regions(), add(add(prompt(6, 4), prompt(3, 5), half("left")), prompt(5, 6), half("right"))
    together, seen = calls_of(model, positive, negative=negative, steps=1)
    assert {len(x) for x, *_ in seen} == {2}
    longer = add(add(prompt(6, 4), prompt(2, 5), half("left")), prompt(6, 6), half("right"))
    assert {len(x) for x, *_ in calls_of(model, positive, negative=longer, steps=1)[1]} == {1}
    alone = [sample(model, positive=cond, negative=cond, cfg=1.0, steps=1) for cond in (positive, negative)]
    torch.testing.assert_close(together, alone[1] + 4.0 * (alone[0] - alone[1]), atol=1e-4, rtol=1e-4)


def test_the_area_of_a_stock_node_around_it_cuts_its_masks_too(stock):
    (cut,) = stock.ConditioningSetAreaPercentage().append(two_regions(), 0.5, 1.0, 0.5, 0.0, 1.0)
    _, seen = calls_of(load_own(), cut, size=(16, 16), steps=1)
    x, _, _, _, kwargs = next(call for call in seen if KEY in call[4])
    assert x.shape[-2:] == (16, 8)
    assert kwargs[MASKS].mean((-1, -2)).tolist() == [[0.0, 1.0]]  # the right half only


def test_the_negative_prompt_modulates_its_own_pass():
    model = load_own()
    _, seen = calls_of(model, two_regions(), steps=1)
    (x, t, context, mask, kwargs) = next(call for call in seen if KEY not in call[4])
    pooled = []
    hook = model.model.diffusion_model.cap_embedder.register_forward_pre_hook(lambda _, args: pooled.append(args[0]))
    with torch.no_grad():
        model.model.diffusion_model(x, 1 - t, context, mask)
    hook.remove()
    torch.testing.assert_close(pooled[0], prompt(6, 1)[0][0].mean(1))


def test_zero_out_silences_the_regions_too(stock):
    model = load_own()
    (negative,) = stock.ConditioningZeroOut().zero_out(two_regions())
    (plain,) = stock.ConditioningZeroOut().zero_out(prompt(6))
    torch.testing.assert_close(sample(model, negative=negative), sample(model, negative=plain), atol=1e-4, rtol=1e-3)
    empty = add(plain, prompt(3, 2), half("left"))  # regions around no global prompt stay
    assert not torch.equal(sample(model, positive=empty), sample(model, positive=plain))


def test_a_negative_as_in_the_reference_attends_everywhere_and_is_modulated_by_the_global_prompt():
    model = load_own()
    negative = add(prompt(6), prompt(4, 8), maths="reference")
    _, seen = calls_of(model, two_regions(maths="reference"), negative=negative, steps=1)
    network, pooled = model.model.diffusion_model, []
    x, t, context, mask, kwargs = next(call for call in seen if len(call[4][KEY].regions) == 1)
    hook = network.cap_embedder.register_forward_pre_hook(lambda _, args: pooled.append(args[0]))
    with torch.no_grad():
        got = -network(x, 1 - t, context, mask, **kwargs)
        expected = network.velocity(x, t, prompt(4, 8)[0][0], call=Call(pooled=prompt(6)[0][0].mean(1)))
    hook.remove()
    torch.testing.assert_close(pooled[0], prompt(6)[0][0].mean(1))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_it_acts_together_with_the_patch_nodes():
    from lumina_next.nextdit import ContextDrop
    from lumina_next.nodes.adapter.patches.context_drop import drop_context
    from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope

    model = load_own()
    scaled, _ = scale_rope(model, "interpolation", 128)
    for patched in (scaled, drop_context(model, ContextDrop(2, "none"))):
        both = sample(patched, positive=two_regions())
        assert torch.isfinite(both).all()
        assert not torch.equal(both, sample(patched)) and not torch.equal(both, sample(model, positive=two_regions()))


def test_a_lora_on_the_text_attention_changes_what_regions_hear_as_merged_weights_do():
    name = "layers.1.attention.wv_y"
    model, merged = load_own(), load_own()
    weights = merged.model.diffusion_model.state_dict()
    rows, columns = weights[f"{name}.weight"].shape
    down, up = torch.randn(4, columns), torch.randn(rows, 4)
    weights[f"{name}.weight"] += up @ down  # in place
    lora = {f"diffusion_model.{name}.lora_{side}.weight": x for side, x in (("A", down), ("B", up))}
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
    both = sample(patched, positive=two_regions())
    torch.testing.assert_close(both, sample(merged, positive=two_regions()), atol=1e-4, rtol=1e-4)
    plain = sample(model, positive=two_regions())  # unpatched again
    assert not torch.allclose(both, plain, atol=1e-2) and not torch.allclose(both, sample(patched), atol=1e-2)
    assert torch.equal(plain, sample(load_own(), positive=two_regions()))


def test_a_second_pass_at_another_size_fits_the_same_regions_to_its_latent():
    model, positive = load_own(), two_regions()
    first, seen = calls_of(model, positive, size=(16, 16), steps=1)
    larger = F.interpolate(first, (24, 40))
    second, seen_again = calls_of(model, positive, latent=larger, denoise=0.5, steps=2)
    for calls, size in ((seen, (16, 16)), (seen_again, (24, 40))):
        for masks in [kwargs[MASKS] for *_, kwargs in calls if KEY in kwargs]:
            assert torch.equal(masks, torch.stack([half(side, size) for side in ("left", "right")], dim=1))
    assert min(float(t) for _, t, *_ in seen_again) > 0.3  # half of the way only
    again = {"latent": larger, "denoise": 0.5}
    assert torch.equal(second, sample(model, positive=two_regions(), **again)), "the first pass has left something"
    assert not torch.allclose(second, sample(model, **again), atol=1e-2)


def test_other_models_refuse_them():
    with pytest.raises(ValueError, match="Lumina-Next's models of pictures, clips.* and.*Z-Image.* is a LuminaT2I;"):
        sample(load_own(replace(T2I, text_dim=20), network=FlagDiT), positive=two_regions())


def test_an_empty_mask_is_a_region_nowhere_and_said(monkeypatch):
    said = []
    monkeypatch.setattr(regional_prompt, "tell", said.append)
    empty = add(prompt(6), prompt(3, 2), torch.zeros(1, 64, 64))  # of Load Image, of an image without transparency
    assert said == [regional_prompt.EMPTY]
    drawn = [sample(load_own(), positive=x, steps=1, cfg=1.0) for x in (empty, prompt(6))]  # rounding adds up in steps
    torch.testing.assert_close(*drawn, atol=1e-5, rtol=1e-4)
    two_regions()
    assert len(said) == 1


def test_what_a_region_cannot_be_is_refused():
    base = two_regions()
    with pytest.raises(ValueError, match="cannot have model_conds of its own"):
        add(prompt(6), base)
    with pytest.raises(ValueError, match="cannot have control of its own"):
        add(prompt(6), prompt(3, control=object()))
    with pytest.raises(ValueError, match="need the same maths"):
        add(base, prompt(3), maths="reference")
    with pytest.raises(ValueError, match=r"start_percent \(0.6\) is after its end_percent \(0.5\)"):
        add(prompt(6), prompt(3), start_percent=0.6, end_percent=0.5)
    with pytest.raises(ValueError, match="text features are 7 wide"):
        sample(load_own(), positive=add(prompt(6), [[torch.zeros(1, 3, 7), {}]]))
    with pytest.raises(ValueError, match="set every global_weight to 0"):
        add(prompt(6), prompt(3), maths="reference", global_weight=0.5)
    with pytest.raises(ValueError, match="strength of at least 0"):
        add(prompt(6), prompt(3), strength=-1.0)
