"""Regional prompts on core's Lumina-Image-2.0 and Z-Image with whatever else stands in a workflow."""

import comfy.sd
import pytest
import torch
from comfy.controlnet import ControlBase
from comfy.patcher_extension import WrappersMP
from torch.utils.flop_counter import FlopCounterMode

from lumina_next.nextdit import ContextDrop
from lumina_next.nodes.adapter.host.core_attention import OVERRIDE
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.region_calls import CONTROL
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support.core_models import CORE, load_core
from lumina_next.tests.support.patch_models import compiled, prompt, sample, spied

SETTINGS = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}


def add(conditioning, region, mask=None, summed=False, **settings):
    return add_region(conditioning, region, mask, summed, **SETTINGS | settings)


def half(side: str, size=(24, 40)) -> torch.Tensor:
    mask = torch.zeros(1, *size)
    mask[..., slice(0, size[1] // 2) if side == "left" else slice(size[1] // 2, size[1])] = 1.0
    return mask


def two_regions(seed: int = 0, **settings):
    first = add(prompt(6, seed), prompt(3, seed + 2), half("left"), **settings)
    return add(first, prompt(5, seed + 3), half("right"), **settings)


@pytest.fixture(scope="module", params=CORE)
def model(request):
    return load_core(CORE[request.param])


def calls_of(model, positive, **options):
    """Sample, and return the latents and contexts that the network is called with."""
    seen = []
    look = spied(model, WrappersMP.DIFFUSION_MODEL, lambda executor, x, t, context, *_, **__: seen.append((x, context)))
    return sample(look, positive=positive, **options), seen


def test_every_setting_acts(model):
    base = two_regions()
    variants = [
        prompt(6),
        base,
        two_regions(strength=0.5),
        two_regions(global_weight=0.3),
        two_regions(start_percent=0.5),
        two_regions(end_percent=0.5),
        two_regions(areas_until=0.5),
        add(base, prompt(4, 9), half("left")),
    ]
    pictures = [sample(model, positive=positive, steps=2, cfg=1.0) for positive in variants]
    for i, picture in enumerate(pictures):
        assert torch.isfinite(picture).all()
        assert not any(torch.equal(picture, other) for other in pictures[:i]), f"variant {i} changes nothing"


def test_only_what_is_heard_now_is_in_the_context(model):
    positive = add(prompt(6), prompt(3, 2), half("left"), end_percent=0.5)
    positive = add(positive, prompt(5, 3), half("right"), global_weight=0.5)
    _, seen = calls_of(model, positive, steps=4, cfg=1.0)
    assert [context.shape[1] for _, context in seen] == [6 + 3 + 5, 6 + 3 + 5, 6 + 5, 6 + 5]


def test_the_negative_prompt_stays_as_it_is_and_may_have_regions_of_its_own(model):
    plain, _ = calls_of(model, two_regions(), steps=1, cfg=1.0)
    mixed, seen = calls_of(model, two_regions(), steps=1, cfg=4.0)
    assert sorted(context.shape[1] for _, context in seen) == [6, 8]
    negative = sample(model, positive=prompt(6, 1), steps=1, cfg=1.0)
    torch.testing.assert_close(mixed, negative + 4.0 * (plain - negative), atol=1e-4, rtol=1e-4)
    regional = sample(model, positive=two_regions(7), steps=1, cfg=1.0)
    both = sample(model, positive=two_regions(), negative=two_regions(7), steps=1)
    torch.testing.assert_close(both, regional + 4.0 * (plain - regional), atol=1e-4, rtol=1e-4)


def test_each_picture_of_a_batch_has_its_own_mask(model):
    masks = torch.cat([half("left"), half("right")])
    both = sample(model, positive=add(prompt(6), prompt(3, 2), masks), batch=2, steps=1)
    alone = sample(model, positive=add(prompt(6), prompt(3, 2), masks[:1]), steps=1)
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-4)
    repeated = sample(model, positive=add(prompt(6), prompt(3, 2), masks[:1]), batch=2, steps=1)
    assert not torch.allclose(both[1], repeated[1], atol=1e-4)


def test_zero_out_silences_the_regions_too(model, stock):
    (negative,) = stock.ConditioningZeroOut().zero_out(two_regions())
    (plain,) = stock.ConditioningZeroOut().zero_out(prompt(6))
    torch.testing.assert_close(sample(model, negative=negative), sample(model, negative=plain), atol=1e-4, rtol=1e-4)


def test_an_area_around_it_cuts_its_masks(model, stock):
    """In the right half of the picture there is only the right region."""
    (cut,) = stock.ConditioningSetAreaPercentage().append(two_regions(), 0.5, 1.0, 0.5, 0.0, 1.0)
    (alone,) = stock.ConditioningSetAreaPercentage().append(prompt(5, 3), 0.5, 1.0, 0.5, 0.0, 1.0)
    (rest,) = stock.ConditioningSetAreaPercentage().append(prompt(6), 0.5, 1.0, 0.0, 0.0, 1.0)
    pictures = [sample(model, positive=positive + rest, steps=1, cfg=1.0) for positive in (cut, alone)]
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=1e-4)
    alone = sample(model, positive=add(rest, prompt(3, 2), half("left")) + cut, steps=1, cfg=1.0)
    assert not torch.allclose(alone, pictures[0], atol=1e-3)


def test_areas_are_pictures_of_their_own_and_then_become_one(model):
    positive = two_regions(areas_until=0.5)
    _, seen = calls_of(model, positive, steps=4, cfg=1.0)
    sizes = [(x.shape[-1], context.shape[1]) for x, context in seen]
    assert sizes == [(20, 3), (20, 5)] * 2 + [(40, 8)] * 2
    first, _ = calls_of(model, positive, steps=1, cfg=1.0)
    noise = sample(model, positive=prompt(3, 2), steps=1, cfg=1.0, size=(24, 40))
    assert first.shape == noise.shape
    assert torch.isfinite(sample(model, positive=positive, batch=2, steps=4)).all()


def test_scaled_rope_and_context_drop_act_on_the_same_sequence(model):
    """Pooled by windows of one token in effect: what the regions hear is unchanged where nothing is pooled."""
    scaled, _ = scale_rope(model, "interpolation", 128, proportional=True)
    dropped = drop_context(model, ContextDrop(2, "none"))
    both = drop_context(scaled, ContextDrop(2, "none"))
    pictures = [sample(m, positive=two_regions(), steps=1) for m in (model, scaled, dropped, both)]
    pictures += [sample(m, steps=1) for m in (scaled, dropped)]
    for i, picture in enumerate(pictures):
        assert torch.isfinite(picture).all()
        assert not any(torch.equal(picture, other) for other in pictures[:i])
    whole = add(prompt(6), prompt(6))
    for patched in (scaled, dropped, both):
        whole_picture = sample(patched, positive=whole, steps=1, cfg=1.0)
        assert torch.equal(whole_picture, sample(patched, steps=1, cfg=1.0))


def test_regions_keep_the_pooled_keys_of_context_drop(model):
    """Two regions that say the same hear each their own copy, so the picture's keys are what is compared."""
    keys = []

    def look(func, q, k, v, heads, mask=None, **kwargs):
        if kwargs["transformer_options"].get("block_type"):
            keys.append((q.shape[2], k.shape[2]))
        return func(q, k, v, heads, mask=mask, **kwargs)

    patched = drop_context(model, ContextDrop(2, "none"))
    patched.model_options["transformer_options"][OVERRIDE] = look
    sample(patched, positive=two_regions(), steps=1, cfg=1.0)
    padding = 32 - 8 if model.model.diffusion_model.pad_tokens_multiple else 0
    pads = 16 if padding else 0
    expected = {(3 + 120, 3 + padding + 60 + pads), (5 + 120, 5 + padding + 60 + pads)}
    assert expected <= set(keys)


def test_a_lora_acts_as_merged_weights_do(model):
    name = "diffusion_model.layers.1.attention.out.weight"
    rows, columns = model.model.state_dict()[name].shape
    down, up = 0.1 * torch.randn(4, columns), 0.1 * torch.randn(rows, 4)
    lora = {f"{name.removesuffix('.weight')}.lora_{side}.weight": x for side, x in (("A", down), ("B", up))}
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)
    merged = model.clone()
    merged.add_patches({name: ("diff", (up @ down,))}, 1.0)
    with_lora = sample(patched, positive=two_regions(), steps=1)
    torch.testing.assert_close(with_lora, sample(merged, positive=two_regions(), steps=1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(with_lora, sample(model, positive=two_regions(), steps=1), atol=1e-4)


def test_partial_offload_changes_nothing(model):
    expected = sample(model, positive=two_regions(areas_until=0.5), steps=2)
    partial = model.clone()
    partial.load(torch.device("cpu"), lowvram_model_memory=20_000)
    torch.testing.assert_close(sample(partial, positive=two_regions(areas_until=0.5), steps=2), expected)
    partial.unpatch_model()


class Control(ControlBase):
    """A ControlNet of which only the calls are looked at."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        self.calls += 1
        previous = self.previous_controlnet
        return None if previous is None else previous.get_control(x_noisy, t, cond, batched_number, transformer_options)


def test_a_controlnet_before_or_after_the_regions_runs_along(model):
    expected = sample(model, positive=two_regions(), steps=1)
    before, after = Control(), Control()
    entry = two_regions()[0]
    late = [[entry[0], entry[1] | {"control": after.set_previous_controlnet(entry[1]["control"])}]]
    early = [[prompt(6)[0][0], prompt(6)[0][1] | {"control": before}]]
    early = add(add(early, prompt(3, 2), half("left")), prompt(5, 3), half("right"))
    assert torch.equal(sample(model, positive=late, steps=1), expected) and after.calls == 1
    assert torch.equal(sample(model, positive=early, steps=1), expected) and before.calls == 1
    assert CONTROL.previous_controlnet is None


def test_regions_whose_control_was_replaced_are_an_error(model):
    entry = two_regions()[0]
    for control in ({"control": Control()}, {}):
        options = {name: value for name, value in entry[1].items() if name != "control"}
        with pytest.raises(ValueError, match="were lost on their way to the model"):
            sample(model, positive=[[entry[0], options | control]], steps=1)


def test_what_does_not_go_together_is_refused(model):
    with pytest.raises(ValueError, match="maths: reference is that of"):
        sample(model, positive=add(prompt(6), prompt(3, 2), half("left"), summed=True), steps=1)
    references = [[prompt(6)[0][0], {"reference_latents": [torch.zeros(1, 16, 8, 8)]}]]
    with pytest.raises(ValueError, match="cannot go together with reference latents"):
        sample(model, positive=add(references, prompt(3, 2), half("left")), steps=1)
    controlled = model.clone()
    controlled.set_model_patch(lambda args: {}, "double_block")
    with pytest.raises(ValueError, match="areas_until does not go together with a ControlNet"):
        sample(controlled, positive=two_regions(areas_until=0.5), steps=1)
    assert torch.isfinite(sample(controlled, positive=two_regions(), steps=1)).all()
    with pytest.raises(ValueError, match="features of a region are 24 wide and the global prompt's 20"):
        sample(model, positive=add(prompt(6), prompt(3, 2, width=24), half("left")), steps=1)


def test_two_regions_cost_at_most_a_tenth_more_than_one_prompt(model):
    """Multiply-adds of the network at 1024 tokens of picture, texts of 24 tokens."""

    def count(positive) -> int:
        with FlopCounterMode(display=False) as counter:
            sample(model, (64, 64), positive=positive, steps=1, cfg=1.0)
        return counter.get_total_flops()

    left, right = (half(side, (64, 64)) for side in ("left", "right"))
    two = add(add(prompt(24), prompt(24, 2), left), prompt(24, 3), right)
    assert count(two) <= 1.1 * count(prompt(24))


def test_with_torch_compile(monkeypatch):
    from comfy.ldm.lumina import model as lumina
    from comfy.ldm.modules import attention

    for module, function in ((attention, "optimized_attention"), (lumina, "optimized_attention_masked")):
        monkeypatch.setattr(module, function, attention.attention_pytorch)
    torch._dynamo.reset()
    model = load_core(CORE["lumina_image_2"] | {"n_layers": 1})
    run, mirrored = compiled(model), add(add(prompt(6), prompt(3, 2), half("right")), prompt(5, 3), half("left"))
    for positive in (two_regions(), mirrored):
        plain = sample(model, positive=positive, steps=1, cfg=1.0)
        torch.testing.assert_close(sample(run, positive=positive, steps=1, cfg=1.0), plain, atol=1e-4, rtol=1e-4)
    torch._dynamo.reset()
