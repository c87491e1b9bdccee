"""Context drop on our model and on ComfyUI's own: who is pooled, when, and what is refused."""

import comfy.model_patcher
import pytest
import torch
from comfy.ldm.modules import attention
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit import ContextDrop, NextDiT
from lumina_next.nodes.adapter.host import core_attention
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.model.context_drop import DropContext
from lumina_next.tests.support.core_models import CORE
from lumina_next.tests.support.patch_models import KINDS, load, load_own, sample, spied

ALWAYS = ContextDrop(2, "none")
IMAGE = 12 * 20  # tokens of the default size
TEXT = {"lumina_image_2": 6, "z_image": 32}
PADDED = {"lumina_image_2": IMAGE, "z_image": 256}


def with_attention_spy(model, look):
    """Return a clone whose attention calls look(q, k, v, mask, transformer_options); it runs inside of our patch."""
    clone = model.clone()

    def override(func, q, k, v, heads, mask=None, **kwargs):
        look(q, k, v, mask, kwargs["transformer_options"])
        return func(q, k, v, heads, mask=mask, **kwargs)

    clone.model_options["transformer_options"]["optimized_attention_override"] = override
    return clone


def test_a_window_of_one_is_the_identity_and_undoes_an_earlier_node(model):
    plain = sample(model)
    dropped = drop_context(model, ALWAYS)
    assert not torch.equal(sample(dropped), plain)
    assert torch.equal(sample(drop_context(dropped, ContextDrop(1))), plain)
    assert torch.equal(sample(model), plain)


def averaged(x: torch.Tensor, rows: int, columns: int, window: int) -> torch.Tensor:
    """Return the means of tokens (B, H, rows · columns, D) over windows, one by one; those at the edges are smaller."""
    grid = x.unflatten(2, (rows, columns))
    corners = [(row, column) for row in range(0, rows, window) for column in range(0, columns, window)]
    return torch.stack([grid[:, :, r : r + window, c : c + window].mean((2, 3)) for r, c in corners], dim=2)


@pytest.mark.parametrize("size", [(24, 40), (22, 14), (7, 13), (2, 2)])
@pytest.mark.parametrize("window", [2, 3, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_any_grid_and_window(kind, size, window):
    model, runs = load(kind), []
    for patched in (model, drop_context(model, ContextDrop(window, "none"))):
        seen = []

        def look(q, k, v, mask, options, seen=seen):
            if kind == "lumina_next" or options.get("block_type") == "double":
                seen.append((k, v))

        sample(with_attention_spy(patched, look), size, steps=1)
        runs.append(seen[0])  # of the first layer, which gets the same in both
    (rows, columns), text = (-(-n // 2) for n in size), TEXT.get(kind, 0)
    stop = text + rows * columns
    for whole, pooled in zip(*runs, strict=True):
        parts = [whole[:, :, :text], averaged(whole[:, :, text:stop], rows, columns, window), whole[:, :, stop:]]
        torch.testing.assert_close(pooled, torch.cat(parts, dim=2), atol=1e-5, rtol=1e-5)


def test_the_fade_drops_fewer_layers_as_sigma_falls():
    pooled = []

    def look(q, k, v, mask, options):
        pooled.append((float(options["sigmas"][0]), k.shape[2]))

    # Next-DiT: text of 6, an image of 240 tokens, 60 when pooled
    sample(with_attention_spy(drop_context(load_own(), ContextDrop(2)), look), steps=6)
    for sigma in {s for s, _ in pooled}:
        layers = [length for s, length in pooled if s == sigma]
        expected = round(sigma * 3)  # all of 3 layers at sigma 1
        assert layers == [60, 6] * expected + [IMAGE, 6] * (3 - expected)


@pytest.mark.parametrize("kind", CORE)
@pytest.mark.parametrize("fade", ["linear", "none"])
def test_in_core_networks_only_the_images_keys_of_the_first_layers_are_pooled(kind, fade):
    model, pooled, plain = load(kind), {}, {}

    def record(calls):
        def look(q, k, v, mask, options):
            if options.get("block_type") == "double":
                calls[float(options["sigmas"][0]), options["block_index"], len(k)] = (q, k, v)

        return look

    sample(with_attention_spy(model, record(plain)), steps=1)
    sample(with_attention_spy(drop_context(model, ContextDrop(2, fade)), record(pooled)), steps=1)
    text, pad = TEXT[kind], PADDED[kind] - IMAGE
    for key, (q, k, v) in pooled.items():
        assert q.shape == plain[key][0].shape
        assert k.shape[2] == v.shape[2] == text + IMAGE // 4 + pad  # sigma is 1: all layers
    first = min(pooled)
    for got, whole in zip(pooled[first][1:], plain[first][1:], strict=True):
        torch.testing.assert_close(got[:, :, :text], whole[:, :, :text], rtol=0, atol=0)
        torch.testing.assert_close(got[:, :, text + IMAGE // 4 :], whole[:, :, text + IMAGE :], rtol=0, atol=0)
        b, h, _, d = whole.shape
        grid = whole[:, :, text : text + IMAGE].reshape(b, h, 6, 2, 10, 2, d).mean((3, 5)).flatten(2, 3)
        torch.testing.assert_close(got[:, :, text : text + IMAGE // 4], grid)


def test_our_network_gets_what_nextdit_computes(tmp_path):
    model = load_own()
    seen = []

    def look(executor, x, t, *args, **kwargs):
        seen.append((x, 1 - t, args, kwargs))

    for before_rope in (False, True):
        drop = ContextDrop(3, "linear", before_rope)
        patched = spied(drop_context(model, drop), WrappersMP.DIFFUSION_MODEL, look)
        seen.clear()
        sample(patched, steps=3)
        x, t, (context, mask, *_), kwargs = seen[1]
        assert kwargs["drop"] == drop and kwargs["dropped_layers"] == drop.layers(t, 3) == 2
        with torch.no_grad():
            again = model.model.diffusion_model(x, 1 - t, context, mask, **kwargs)
            plain = NextDiT.forward(model.model.diffusion_model, x, t, context, mask, drop=drop)
            torch.testing.assert_close(again, -plain)


def test_start_and_end_limit_the_steps(model):
    plain, always = sample(model, steps=4), sample(drop_context(model, ALWAYS), steps=4)
    ranges = [(0.0, 1.0), (0.0, 0.3), (0.6, 1.0)]
    results = [sample(drop_context(model, ALWAYS, *limits), steps=4) for limits in ranges]
    assert torch.equal(results[0], always)
    assert not any(torch.equal(result, other) for result in results[1:] for other in (plain, always))
    with pytest.raises(ValueError, match="start_percent 0.6 is after end_percent 0.5; swap them"):
        drop_context(model, ALWAYS, 0.6, 0.5)


def test_the_range_follows_a_shift_that_is_set_after_the_node():
    from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow

    calls = []

    def look(executor, x, t, *args, **kwargs):
        calls.append((float(t[0]), "drop" in kwargs))

    dropped = drop_context(load_own(), ALWAYS, 0.0, 0.5)
    (shifted,) = ModelSamplingAuraFlow().patch_aura(dropped, 4.0)
    sample(spied(shifted, WrappersMP.DIFFUSION_MODEL, look), steps=8)
    assert all(drops == (sigma > 0.8001) for sigma, drops in calls)  # half way lies at sigma 0.8 with shift 4
    assert {drops for _, drops in calls} == {True, False}


@pytest.mark.parametrize("backend", ["attention_pytorch", "attention_sub_quad", "attention_split", "attention_basic"])
def test_every_attention_backend_gives_the_same(model, backend, monkeypatch):
    dropped = drop_context(model, ALWAYS)
    expected = sample(dropped, steps=1)
    for name in ("optimized_attention", "optimized_attention_masked"):
        monkeypatch.setattr(attention, name, getattr(attention, backend))
    from comfy.ldm.lumina import model as lumina

    monkeypatch.setattr(lumina, "optimized_attention_masked", getattr(attention, backend))
    torch.testing.assert_close(sample(dropped, steps=1), expected, atol=1e-3, rtol=1e-3)


def test_an_earlier_override_still_runs_and_sees_pooled_keys():
    lengths = set()
    model = with_attention_spy(load("lumina_image_2"), lambda q, k, v, mask, options: lengths.add(k.shape[2]))
    sample(drop_context(model, ALWAYS), steps=1)
    assert lengths == {6, IMAGE, 6 + IMAGE // 4}  # the two refiners, the main layers


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_masks_over_keys_shrink_with_them(dtype):
    hidden = torch.finfo(torch.float32).min
    mask = torch.full((1, 1, 5, 2 + 12 + 1), hidden)
    mask[..., :2], mask[..., 2 + 5] = 0.0, 0.0  # the text, and one token in the second row, second column
    mask = mask == 0 if dtype is torch.bool else mask
    small = core_attention.pool_mask(mask, 2, (3, 4), 2)
    assert small.dtype == dtype and small.shape == (1, 1, 5, 2 + 4 + 1)
    counts = small if dtype is torch.bool else small == 0
    assert counts[0, 0, 0].tolist() == [True, True, True, False, False, False, False]


def test_models_and_options_that_cannot_be_hooked_are_refused(monkeypatch):
    class Flux(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.diffusion_model = torch.nn.Linear(2, 2)

    other = comfy.model_patcher.ModelPatcher(Flux(), torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(
        ValueError, match="Context Drop works with Lumina-Next models .* Wan and Kandinsky 5, but got a Flux model"
    ):
        drop_context(other, ALWAYS)
    core = load("lumina_image_2")
    with pytest.raises(ValueError, match="pooling before RoPE works with Lumina-Next only"):
        drop_context(core, ContextDrop(before_rope=True))
    monkeypatch.setattr(core_attention, "main_layers_say_their_number", lambda: False)
    with pytest.raises(RuntimeError, match="Context Drop cannot hook Lumina-Image-2.0 or Z-Image in this release"):
        drop_context(core, ALWAYS)


def test_the_node():
    model = load_own()
    dropped = DropContext.execute(model, 2, "none", "before_rope", 0.0, 1.0).result[0]
    expected = drop_context(model, ContextDrop(2, "none", before_rope=True))
    assert torch.equal(sample(dropped), sample(expected))
