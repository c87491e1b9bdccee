"""Regional and timed prompts on core's Wan, which attends to the text apart, against masks on that attention."""

from dataclasses import replace
from functools import cache

import comfy.ldm.wan.model as wan
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit import ContextDrop
from lumina_next.nextdit.regions import Region, Regions
from lumina_next.nextdit.span import Span
from lumina_next.nextdit.stretch import Stretch
from lumina_next.nodes.adapter.host.core_attention import OVERRIDE
from lumina_next.nodes.adapter.host.core_families import family_of
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.nodes.conditioning.test_regions_core import SETTINGS, draw
from lumina_next.tests.support.core_families import CASES, load_family, noise
from lumina_next.tests.support.patch_models import prompt

SIZE = (16, 4, 12, 20)
TOKENS = 4 * 6 * 10
PICTURE = {"clip_vision_output": type("Seen", (), {"penultimate_hidden_states": noise(1, 8, 1280)})}


@cache
def model_of(kind: str = "t2v"):
    case = CASES["Wan"]
    return load_family(
        case if kind == "t2v" else replace(case, config=case.config | {"model_type": kind, "in_dim": 36})
    )


@pytest.fixture(scope="module", autouse=True)
def models():
    yield
    model_of.cache_clear()


def add(conditioning, region, mask=None, stretch=None, areas_until=0.0, **settings):
    return add_region(conditioning, region, mask, False, areas_until, stretch, **SETTINGS | settings)


def base(**extra) -> list:
    (entry,) = prompt(6)
    return [[entry[0], entry[1] | extra]]


def sample(positive, kind="t2v", size=SIZE, model=None, **options):
    return draw(kind, positive, prompt(4, 1), model=model or model_of(kind), size=size, **options)


def seen_by(positive, kind="t2v", model=None, **options):
    seen, model = [], (model or model_of(kind)).clone()

    def look(executor, x, *args, **kwargs):
        out = executor(x, *args, **kwargs)
        seen.append((x, args, kwargs, out))
        return out

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "spy", look)
    sample(positive, kind, model=model, **options)
    return seen


def by_masks(network, call, lengths, shares, picture: bool = False):
    """Evaluate a call again with a softmax over each text in its place: shares (1, T, L) of all tokens."""
    x, args, kwargs, _ = call
    names = ("timestep", "context", "clip_fea", "time_dim_concat", "transformer_options")
    given = dict(zip(names, args, strict=False)) | kwargs
    number = 0

    def attend(func, q, k, v, heads, mask=None, **more):
        nonlocal number
        place, number = number % (3 if picture else 2), number + 1
        if place != (2 if picture else 1):
            return func(q, k, v, heads, mask=mask, **more)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
        out, start = 0, 0
        for i, length in enumerate(lengths):
            keys = slice(start, start + length)
            weights = (q @ k[:, :, keys].transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            out = out + shares[:, i, :, None] * (weights @ v[:, :, keys]).transpose(1, 2).flatten(2)
            start += length
        return out

    options = given["transformer_options"]
    given["transformer_options"] = {key: x for key, x in options.items() if key != "block_index"} | {OVERRIDE: attend}
    with torch.no_grad():
        return network._forward(x, **given)


def left(soft: float = 1.0) -> torch.Tensor:
    mask = torch.zeros(1, 12, 20)
    mask[..., :10] = soft
    return mask


def test_a_region_over_everything_with_the_same_prompt_is_the_prompt():
    assert torch.equal(sample(add(base(), base())), sample(base()))
    assert torch.equal(sample(add(base(), prompt(3, 2), left(), strength=0.0)), sample(base()))


@pytest.mark.parametrize("kind", ["t2v", "i2v"])
def test_each_token_hears_its_texts_by_place_and_time(kind):
    """With a picture, whose tokens are as many as the texts', layers attend to it as they did."""
    extra = PICTURE if kind == "i2v" else {}
    lengths = (3, 2, 3) if kind == "i2v" else (6, 3, 5)
    (entry,) = prompt(lengths[0])
    positive = add([[entry[0], entry[1] | extra]], prompt(lengths[1], 2), left(0.75), Stretch(0.0, 0.5, 0.5))
    positive = add(positive, prompt(lengths[2], 3), None, Stretch(0.5, 1.0), end_percent=0.9)
    for call in seen_by(positive, kind):
        masks = torch.zeros(1, 2, *SIZE[1:])
        masks[:, 0] = Stretch(0.0, 0.5, 0.5).share(4)[:, None, None] * left(0.75)
        masks[:, 1] = Stretch(0.5, 1.0).share(4)[:, None, None]
        regions = Regions(1, (Region(1), Region(1, span=Span(0.0, 1.0))))
        shares = regions.weights(masks, torch.tensor([0.0]), 2)
        assert shares.shape == (1, 3, TOKENS)
        expected = by_masks(model_of(kind).model.diffusion_model, call, lengths, shares, kind == "i2v")
        torch.testing.assert_close(call[3], expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(sample(positive, kind), sample(base(**extra), kind))


def test_what_is_no_part_of_the_clip_hears_the_global_prompt():
    reference = {"context_latents": [noise(1, 16, 1, 12, 20)]}
    positive = add(base(**reference), prompt(3, 2), left())
    (call,) = seen_by(positive)
    shares = torch.zeros(1, 2, TOKENS + 60)
    own = Regions(1, (Region(1),)).weights(left().expand(1, 1, 4, 12, 20), torch.tensor([0.0]), 2)
    shares[..., :TOKENS] = own
    shares[:, 0, TOKENS:] = 1.0
    expected = by_masks(model_of().model.diffusion_model, call, (6, 3), shares)
    torch.testing.assert_close(call[3], expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="does not go together with reference pictures"):
        sample(add(base(**reference), prompt(3, 2), left(), areas_until=1.0))


def halves(**settings):
    first = add(base(), prompt(3, 2), None, Stretch(0.0, 0.5), **settings)
    return add(first, prompt(5, 3), None, Stretch(0.5, 1.0), **settings)


def test_parts_that_are_areas_are_clips_of_their_own():
    made = sample(halves(areas_until=1.0))
    start = seen_by(base())[0][0]
    for text, frames in ((prompt(3, 2), slice(0, 2)), (prompt(5, 3), slice(2, 4))):
        seen = seen_by(halves(areas_until=1.0))
        assert [call[0].shape[2] for call in seen] == [2, 2]
        own = next(call for call in seen if call[1][1].shape[1] == text[0][0].shape[1])
        torch.testing.assert_close(own[0], start[:, :, frames])
    assert made.isfinite().all() and not torch.equal(made, sample(halves()))


def test_with_guidance_and_batches():
    one = sample(halves(), cfg=3.0, steps=2)
    two = sample(halves(), cfg=3.0, steps=2, batch=2)
    assert one.isfinite().all() and two.shape[0] == 2


def test_core_s_context_windows_hear_the_texts_of_the_whole_clip():
    windows = pytest.importorskip("comfy_extras.nodes_context_windows").ContextWindowsManualNode
    windowed = windows.execute(model_of(), 4, 0, "standard_static", 1, False, "flat", 2, False).result[0]
    first, second = seen_by(halves(), model=windowed, size=(16, 8, 12, 20))
    assert first[0].shape[2] == 4 and first[1][1].shape[1] == 3  # all in the first half: its text is an ordinary prompt
    frames = second[0].shape[2] - 4  # of the first half, which this release keeps in each window, or none
    shares = torch.zeros(1, 2, (4 + frames) * 60)
    shares[:, 0, : 60 * frames], shares[:, 1, 60 * frames :] = 1.0, 1.0
    texts = ((3, 5), shares) if frames else ((5,), shares[:, 1:])
    expected = by_masks(model_of().model.diffusion_model, second, *texts)
    torch.testing.assert_close(second[3], expected, atol=1e-5, rtol=1e-4)


def test_networks_with_a_control_stream_say_why_not():
    family = family_of(model_of().model.diffusion_model)
    assert family.regions_closed_in(model_of().model.diffusion_model) == ""
    for cls in (wan.VaceWanModel, wan.CameraWanModel):
        assert "what controls it" in family.regions_closed_in(cls.__new__(cls))


def test_beside_context_drop_and_scaled_rope():
    """Both edit self-attention, regions the attention to the text: a region of the same prompt changes nothing."""
    patched, _ = scale_rope(model_of(), "interpolation", 112)
    patched = drop_context(patched, ContextDrop(2, "none"))
    size = (16, 2, 24, 40)
    whole = sample(base(), model=patched, size=size)
    assert not torch.equal(whole, sample(base(), size=size))
    same = sample(add(base(), base(), left()), model=patched, size=size)
    torch.testing.assert_close(same, whole, atol=1e-5, rtol=1e-4)
    assert not torch.equal(sample(halves(), model=patched, size=size), whole)
