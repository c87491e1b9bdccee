"""Scaled RoPE and context drop with each other and with what else users put between loader and sampler."""

import time
from functools import partial

import pytest
import torch
from comfy.ldm.lumina import model as lumina
from comfy.ldm.modules import attention
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit import ContextDrop
from lumina_next.nodes.adapter.host import core_rope, core_tables
from lumina_next.nodes.adapter.patches import context_drop
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.scaled_rope import Settings, scale_rope
from lumina_next.tests.support.core_models import CORE
from lumina_next.tests.support.patch_models import compiled, load, prompt, sample, spied

DROP = ContextDrop(2, "none")


def roped(model, **options):
    return scale_rope(model, "time_aware", 128, proportional=True, **options)[0]


def dropped(model):
    return drop_context(model, DROP)


def test_the_two_nodes_in_either_order(model):
    both = sample(dropped(roped(model)))
    assert torch.equal(sample(roped(dropped(model))), both)
    singles = sample(model), sample(roped(model)), sample(dropped(model))
    assert not any(torch.equal(both, single) for single in singles)
    assert torch.equal(sample(dropped(roped(model)), (16, 16)), sample(dropped(model), (16, 16)))


def test_inert_nothing_of_either_is_called(model, monkeypatch):
    plain = sample(model, (16, 16))
    patched = drop_context(roped(model), ContextDrop(1))

    def called(*args, **kwargs):
        raise AssertionError("an inert patch worked")

    monkeypatch.setattr(Settings, "scaling", called)
    for place, name in (
        (core_tables, "rotations"),
        (core_rope, "run_with_request"),
        (context_drop, "run_with_request"),
    ):
        monkeypatch.setattr(place, name, called)
    monkeypatch.setattr(ContextDrop, "pool", called)
    assert torch.equal(sample(patched, (16, 16)), plain)
    assert not any(context_drop.WRAPPER in keys for keys in patched.wrappers.values())
    with pytest.raises(AssertionError, match="an inert patch worked"):
        sample(patched)


def test_with_a_lora_in_either_order(model):
    weights = model.model.state_dict()
    key = next(key for key in weights if "layers.1.feed_forward.w1" in key and key.startswith("diffusion_model."))
    patch = {key: ("diff", (torch.full_like(weights[key], 0.1),))}

    def with_lora(model):
        clone = model.clone()
        assert clone.add_patches(patch, 1.0) == [key]
        return clone

    both = sample(dropped(roped(with_lora(model))))
    assert torch.equal(sample(with_lora(dropped(roped(model)))), both)
    assert not torch.equal(both, sample(dropped(roped(model))))


@pytest.mark.parametrize("node", ["EasyCacheNode", "LazyCacheNode"])
def test_with_easycache_before_and_after(model, node):
    from comfy_extras import nodes_easycache

    def cached(model, threshold):
        return getattr(nodes_easycache, node).execute(model, threshold, 0.0, 1.0, False).result[0]

    expected = sample(dropped(roped(model)), steps=5)
    torch.testing.assert_close(sample(cached(dropped(roped(model)), 0.0), steps=5), expected)
    torch.testing.assert_close(sample(dropped(roped(cached(model, 0.0))), steps=5), expected)
    eager, late = cached(dropped(roped(model)), 9.0), dropped(roped(cached(model, 9.0)))
    assert torch.equal(sample(eager, steps=5), sample(late, steps=5))
    assert not torch.equal(sample(eager, steps=5), expected)


def use_backend(name, monkeypatch):
    for module, function in ((attention, "optimized_attention"), (lumina, "optimized_attention_masked")):
        monkeypatch.setattr(module, function, getattr(attention, name))


@torch._dynamo.config.patch(fail_on_recompile_limit_hit=True)
def test_with_torch_compile_toggled_and_in_either_order(model, monkeypatch):
    use_backend("attention_pytorch", monkeypatch)  # which a GPU has; the CPU's default breaks the graph
    torch._dynamo.reset()
    run = partial(sample, steps=1)
    plain, changed = run(model), run(dropped(roped(model)))
    before, unpatched = compiled(dropped(roped(model))), compiled(model)
    after = dropped(roped(unpatched))
    for patched, expected in ((unpatched, plain), (before, changed), (after, changed), (unpatched, plain)):
        torch.testing.assert_close(run(patched), expected, atol=1e-4, rtol=1e-4)
    other = run(dropped(roped(model)), (32, 16))
    torch.testing.assert_close(run(after, (32, 16)), other, atol=1e-4, rtol=1e-4)
    torch._dynamo.reset()


def test_torch_compile_that_loses_a_patch_of_core_attention_is_an_error(monkeypatch):
    model = load("lumina_image_2")
    use_backend("attention_sub_quad", monkeypatch)
    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match="did not reach this model's attention: torch.compile cannot trace the att"):
        sample(dropped(compiled(model)), steps=1)
    torch._dynamo.reset()


def test_conds_that_run_one_by_one_give_what_they_give_together(model, monkeypatch):
    calls = []
    patched = spied(
        dropped(roped(model)), WrappersMP.APPLY_MODEL, lambda executor, x, *rest, **kw: calls.append(len(x))
    )
    together = sample(patched)
    assert set(calls) == {2}
    monkeypatch.setattr(type(model.model), "memory_required", lambda *args, **kwargs: 1e18)
    calls.clear()
    torch.testing.assert_close(sample(patched), together, atol=1e-4, rtol=1e-4)
    assert set(calls) == {1}


def test_prompts_of_different_lengths_and_batches(model):
    patched = dropped(roped(model))
    one = sample(patched, positive=prompt(9), negative=prompt(2, 1))
    two = sample(patched, positive=prompt(9), negative=prompt(2, 1), batch=2)
    torch.testing.assert_close(two[:1], one, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(two[1], two[0])


def test_regional_prompts_with_areas_and_masks(model):
    mask = torch.zeros(1, 24, 40)
    mask[..., :20] = 1.0
    regions = prompt(6) + prompt(4, 2, area=(12, 40, 0, 0), strength=1.0) + prompt(5, 3, mask=mask, mask_strength=1.0)
    result = sample(dropped(roped(model)), positive=regions)
    assert torch.isfinite(result).all()
    assert not torch.equal(result, sample(model, positive=regions))


def test_another_compute_dtype(model):
    half = model.clone()
    half.set_model_compute_dtype(torch.bfloat16)
    result = sample(dropped(roped(half)))
    assert torch.isfinite(result).all() and not torch.equal(result, sample(half))


def test_core_nodes_that_move_positions_still_act(model):
    from comfy_extras.nodes_rope import ScaleROPE

    moved = ScaleROPE.execute(model, 0.5, 0.0, 0.5, 0.0, 1.0, 0.0).result[0]
    results = [sample(m) for m in (model, moved, roped(model), roped(moved))]
    assert not any(torch.equal(a, b) for i, a in enumerate(results) for b in results[:i])


@pytest.mark.parametrize("kind", CORE)
def test_with_patches_between_layers_as_controlnets_of_core_models_are(kind):
    seen = []

    def control(args):
        seen.append((args["block_index"], args["img"].shape[1], args["pe"].clone()))
        return {"img": args["img"] * 1.5}

    model = load(kind)
    controlled = model.clone()
    controlled.set_model_patch(control, "double_block")
    plain = sample(controlled, steps=1)
    unscaled = seen[0][2]
    seen.clear()
    both = sample(dropped(roped(controlled)), steps=1)
    padded = {"lumina_image_2": 240, "z_image": 256}[kind]
    assert [(layer, length) for layer, length, _ in seen] == [(i, padded) for i in range(3)]
    assert not torch.allclose(seen[0][2], unscaled)  # a ControlNet turns by the scaled frequencies too
    assert not torch.equal(both, plain) and not torch.equal(both, sample(dropped(roped(model)), steps=1))


def test_inert_nodes_cost_little(model):
    """1 % of a step of the 2B model at 1024 px is more than a millisecond on any machine; a call may cost that."""
    spent: dict[str, list[float]] = {"plain": [], "inert": []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other count as work
    inert = drop_context(roped(model), ContextDrop(2, "none"), 0.0, 0.0)
    for turn in range(16):  # in turns, since the machine's own pace changes; as many as a busy neighbour makes needful
        for name, patched in (("plain", model), ("inert", inert)):
            spent[name] += call_seconds(patched, 15)
        cost = min(spent["inert"]) - min(spent["plain"])
        if turn >= 3 and cost < 1e-3:
            break
    torch.set_num_threads(threads)
    assert cost < 1e-3


def call_seconds(patched, count):
    """Return the processor's seconds of each of so many calls of a MODEL's network."""
    x, text, sigma = torch.zeros(1, *SHAPES[type(patched.model).__name__]), torch.zeros(1, 6, 20), torch.tensor([0.5])
    extra = {"attention_mask": torch.ones(1, 6)} if len(x[0]) == 4 else {"num_tokens": 6}
    options = {"wrappers": patched.wrappers}
    patched.patch_model()
    seconds = []
    with torch.no_grad():
        for _ in range(count):
            start = time.thread_time()
            patched.model.apply_model(x, sigma, c_crossattn=text, transformer_options=options, **extra)
            seconds.append(time.thread_time() - start)
    patched.unpatch_model()
    return seconds


SHAPES = {"LuminaNext": (4, 8, 8), "Lumina2": (16, 8, 8)}
