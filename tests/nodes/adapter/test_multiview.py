"""Multi-view models in ComfyUI's own sampling: what reaches the network, with guidance, patches and LoRAs."""

import comfy.model_base
import comfy.samplers
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from safetensors.torch import save_file

from lumina_next.nextdit import ContextDrop, RopeScaling, load_model, save_model
from lumina_next.nextdit.layers.rope_scaling import scale_factor
from lumina_next.nodes.adapter.lora import apply as lora
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.views import with_views
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.nodes.adapter.sampling.schedules import schedule_sigmas
from lumina_next.nodes.adapter.sampling.solvers import solver_sampler
from lumina_next.samplers import integrate, times
from lumina_next.tests.support.multiview_runs import AZIMUTHS, SIZE, VIEWS, picture, sample, text
from lumina_next.tests.support.patch_models import spied
from lumina_next.tests.support.untrained_multiview import untrained


@pytest.fixture(scope="module", params=[2, 3], ids=["2 axes", "3 axes"])
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("multiview") / "views.safetensors"
    save_model(untrained(rope_axes=request.param), path, {"train_tokens": "16"})
    return path


@pytest.fixture(scope="module")
def patcher(file):
    return loading.load(file)


def calls_of(patcher, *args, **kwargs):
    """Sample, and return the arguments of every call of the network: x, t, context, mask and the rest."""
    seen = []

    def look(executor, x, sigma, context, mask, *args, **kwargs):
        seen.append((x, 1 - sigma, context, mask, kwargs))

    return sample(spied(patcher, WrappersMP.DIFFUSION_MODEL, look), *args, **kwargs), seen


def nextdits(file, x, sigma, features, image, **patches):
    """Return what the plain network makes of a batch of views: denoised latents like x's."""
    sets = x.unflatten(0, (-1, VIEWS))
    azimuth = torch.tensor([AZIMUTHS] * len(sets))
    with torch.no_grad():
        velocity = load_model(file)(sets, 1 - sigma[::VIEWS], azimuth, features, image=image, **patches)
    return x + sigma[0] * velocity.flatten(0, 1)


def outputs_of(patcher, positive, **options):
    """Sample without guidance, and return latents, sigmas and what the model made of them, for every call."""
    outputs = []

    def look(executor, x, sigma, *args, **kwargs):
        out = executor(x, sigma, *args, **kwargs)
        outputs.append((x, sigma, out))
        return out

    clone = patcher.clone()
    clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test", look)
    sample(clone, positive, cfg=1.0, **options)
    return outputs


PATCHES = {
    "nothing": (lambda model: model, lambda: {}),
    "Scaled RoPE": (
        lambda model: scale_rope(model, "time_aware", 28, proportional=True)[0],
        lambda: {"rope": RopeScaling("time_aware", scale_factor((8, 10), 7), 7, proportional=True)},
    ),
    "Context Drop": (
        lambda model: drop_context(model, ContextDrop(2, "linear")),
        lambda: {"drop": ContextDrop(2, "linear")},
    ),
}


@pytest.mark.parametrize("with_image", [False, True], ids=["text", "text and image"])
@pytest.mark.parametrize("name", PATCHES)
def test_denoised_is_nextdits_for_every_set_of_a_batch(patcher, file, name, with_image):
    patch, arguments = PATCHES[name]
    sets, size = 2, (32, 40)  # 8 × 10 tokens
    image = picture(sets, size) if with_image else None
    positive = with_views(text(5, rows=sets), AZIMUTHS, image)
    outputs = outputs_of(patch(patcher), positive, batch=sets * VIEWS, size=size)
    assert len(outputs) == 2
    for x, sigma, denoised in outputs:
        expected = nextdits(file, x, sigma, positive[0][0], image, **arguments())
        torch.testing.assert_close(denoised, expected, atol=1e-4, rtol=1e-4)
        if name != "nothing":
            assert not torch.allclose(denoised, nextdits(file, x, sigma, positive[0][0], image), atol=1e-3)


def test_the_flow_sampler_takes_views(patcher, file):
    image = picture()
    positive, negative = with_views(text(6), AZIMUTHS, image), with_views(text(2, 1), AZIMUTHS)
    guider = comfy.samplers.CFGGuider(patcher)
    guider.set_conds(positive, negative)
    guider.set_cfg(3.0)
    noise = torch.randn(VIEWS, 3, *SIZE, generator=torch.Generator().manual_seed(1))

    def run(sampler, steps: int) -> torch.Tensor:
        sigmas = schedule_sigmas("rational", steps, alpha=4.0)
        return guider.sample(noise, torch.zeros_like(noise), sampler, sigmas, seed=1, disable_pbar=True)

    def velocity(x, t):
        sigma = (1 - t.float()).expand(VIEWS)
        seen, unseen = (nextdits(file, x, sigma, c[0][0], i) - x for c, i in ((positive, image), (negative, None)))
        return (unseen + 3.0 * (seen - unseen)) / sigma[0]

    expected = integrate(velocity, noise, times("rational", 2, alpha=4.0), "midpoint")
    torch.testing.assert_close(run(solver_sampler("midpoint"), 2), expected, atol=1e-4, rtol=1e-4)
    ours, stock = run(solver_sampler("euler"), 3), run(comfy.samplers.sampler_object("euler"), 3)
    torch.testing.assert_close(ours, stock, atol=1e-4, rtol=1e-4)


def test_a_lora_of_the_text_to_image_model_fits(patcher, tmp_path):
    base = sample(patcher)
    names = {"layers.0.attention.wq": (48, 48), "azimuth_embedder.mlp.2": (48, 48)}
    weights = {
        f"{name}.lora_{side}.weight": torch.full((out, 2) if side == "B" else (2, inner), 0.2)
        for name, (out, inner) in names.items()
        for side in "AB"
    }
    save_file(weights, tmp_path / "lora.safetensors")
    converted = lora.load(patcher, str(tmp_path / "lora.safetensors"))
    assert not converted.unmatched
    assert not torch.allclose(sample(lora.apply(patcher, converted, 1.0)), base, atol=1e-3)
    assert torch.equal(sample(patcher), base)


def test_guidance_is_one_batch_without_an_image_and_two_with_one(patcher):
    _, seen = calls_of(patcher)
    assert [len(x) for x, *_ in seen] == [2 * len(AZIMUTHS)] * 2
    assert all(context.shape[:2] == (2, 6) and mask.shape == (2, 6) for _, _, context, mask, _ in seen)
    _, seen = calls_of(patcher, with_views(text(6), AZIMUTHS, picture()))
    assert [len(x) for x, *_ in seen] == [len(AZIMUTHS)] * 4
    assert sum("multiview_image" in kwargs for *_, kwargs in seen) == 2


def test_guidance_in_one_batch_and_apart_are_the_same(patcher, monkeypatch):
    together = sample(patcher, batch=2 * len(AZIMUTHS))
    monkeypatch.setattr(comfy.model_base.BaseModel, "memory_required", lambda *args, **kwargs: 1e15)
    apart, seen = calls_of(patcher, batch=2 * len(AZIMUTHS))
    assert [len(x) for x, *_ in seen] == [2 * len(AZIMUTHS)] * 4
    torch.testing.assert_close(apart, together, atol=1e-4, rtol=1e-4)


def test_views_text_and_image_each_change_every_view(patcher):
    negative = with_views(text(2, 1), AZIMUTHS)
    base = sample(patcher, with_views(text(6), AZIMUTHS), negative)
    others = [
        sample(patcher, with_views(text(6), (0.0, 130.0, 20.0)), negative),
        sample(patcher, with_views(text(6, 5), AZIMUTHS), negative),
        sample(patcher, with_views(text(6), AZIMUTHS, picture()), negative),
    ]
    for other in others:
        assert ((base - other).flatten(1).abs().amax(1) > 1e-3).all()


def test_without_an_image_azimuths_count_from_the_first(patcher):
    turned = tuple(azimuth + 30.0 for azimuth in AZIMUTHS)
    results = [
        sample(patcher, with_views(text(6), azimuths, image), with_views(text(2, 1), azimuths))
        for azimuths, image in ((AZIMUTHS, None), (turned, None), (AZIMUTHS, picture()), (turned, picture()))
    ]
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(results[2], results[3], atol=1e-3)


@pytest.mark.parametrize("views", [1, 2, 8, 18])
def test_any_number_of_views(patcher, views):
    azimuths = tuple(20.0 * i for i in range(views))
    out = sample(patcher, with_views(text(6), azimuths), with_views(text(2, 1), azimuths), batch=views)
    assert out.shape == (views, 3, *SIZE) and torch.isfinite(out).all()


def test_dual_cfg_guides_by_text_and_image_on_their_own(patcher):
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    image = picture()
    conds = [
        with_views(text(6), AZIMUTHS, image),
        with_views(text(2, 1), AZIMUTHS, image),
        with_views(text(2, 1), AZIMUTHS),
    ]
    noise = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    sigmas = torch.tensor([1.0, 0.5])
    guider = Guider_DualCFG(patcher)
    guider.set_conds(*conds)
    guider.set_cfg(2.0, 1.5)

    def one_step(guider):
        sampler = comfy.samplers.sampler_object("euler")
        return guider.sample(noise, torch.zeros_like(noise), sampler, sigmas, seed=1, disable_pbar=True)

    def alone(cond):
        single = comfy.samplers.CFGGuider(patcher)
        single.set_conds(cond, cond)
        single.set_cfg(1.0)
        return one_step(single)

    both, image_only, nothing = map(alone, conds)
    expected = nothing + 1.5 * (image_only - nothing) + 2.0 * (both - image_only)
    torch.testing.assert_close(one_step(guider), expected, atol=1e-4, rtol=1e-4)
