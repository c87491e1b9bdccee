"""Regional prompts on ComfyUI's own joint-attention networks, against masks over the whole sequence."""

import inspect
from functools import cache
from itertools import count

import comfy.sample
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit.regions import Region, Regions
from lumina_next.nodes.adapter.host.core_attention import OVERRIDE
from lumina_next.nodes.adapter.host.core_families import family_of, patch_of
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.tests.support.core_families import CASES, load_family, noise
from lumina_next.tests.support.core_models import CORE, load_core
from lumina_next.tests.support.joint_regions import attend_masked, masks_of
from lumina_next.tests.support.patch_models import prompt

SETTINGS = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}
KINDS = [*CORE, "FLUX.1", "FLUX.1 with references", "FLUX.2 with a reference", "Chroma", "Qwen-Image"]
KINDS += ["Qwen-Image-Edit", "Mage-Flow", "Mage-Flow-Edit", "Krea 2", "Krea 2 with a reference"]
CLOSED = ["OmniGen2", "Boogu-Image", "HiDream-I1", "ERNIE-Image", "Kandinsky 5", "Lens", "HunyuanImage-2.1"]


@cache
def model_of(kind: str):
    return load_core(CORE[kind]) if kind in CORE else load_family(CASES[kind])


@pytest.fixture(scope="module", autouse=True)
def models():
    yield
    model_of.cache_clear()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def add(conditioning, region, mask=None, summed=False, **settings):
    return add_region(conditioning, region, mask, summed, **SETTINGS | settings)


def text(kind: str, length: int, seed: int = 0) -> list:
    """Return a region's CONDITIONING as a kind of model takes it."""
    pooled = "y" in conds_of(kind)
    return prompt(length, seed, **({"pooled_output": noise(1, 12, seed=seed)} if pooled else {}))


def conds_of(kind: str) -> dict:
    return CASES[kind].conds() if kind in CASES else {}


def base(kind: str, seed: int = 0) -> list:
    """Return a global prompt's CONDITIONING, with what else a kind of model takes."""
    extra, more = {}, conds_of(kind)
    if "ref_latents" in more and kind != "Chroma":
        extra |= {"reference_latents": more["ref_latents"], "reference_latents_method": more.get("ref_latents_method")}
    (entry,) = text(kind, 6, seed)
    return [[entry[0], entry[1] | extra]]


def size_of(kind: str) -> tuple[int, ...]:
    return (16, 12, 20) if kind in CORE else (*CASES[kind].latent[:-2], *(n // 2 for n in CASES[kind].latent[-2:]))


def half(kind: str, side: str, soft: float = 1.0) -> torch.Tensor:
    width = size_of(kind)[-1]
    mask = torch.zeros(1, *size_of(kind)[-2:])
    cells = slice(0, width // 2) if side == "left" else slice(width // 2, width)
    mask[..., cells] = soft
    return mask


def draw(kind, positive, negative=None, cfg=1.0, steps=1, batch=1, model=None, size=None):
    """Sample a small latent by a few steps of Euler."""
    latent = torch.zeros(batch, *(size or size_of(kind)))
    return comfy.sample.sample(
        model or model_of(kind),
        comfy.sample.prepare_noise(latent, 7),
        steps,
        cfg,
        "euler",
        "simple",
        positive,
        negative or base(kind, 1),
        latent,
        seed=7,
        disable_pbar=True,
    )


def seen_by(kind, positive, **options):
    """Sample, and return it with what the network was called with and gave: (x, arguments, keywords, output) a call."""
    seen, model = [], model_of(kind).clone()

    def look(executor, x, *args, **kwargs):
        out = executor(x, *args, **kwargs)
        seen.append((x, args, kwargs, out))
        return out

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "spy", look)
    return draw(kind, positive, model=model, **options), seen


def with_masks(network, call, lengths: tuple[int, ...], shares: torch.Tensor, has_global: bool) -> torch.Tensor:
    """Evaluate a network again with masks over the whole sequence in place of what the pack put into its options."""
    x, args, kwargs, _ = call
    names = [name for name in inspect.signature(network._forward).parameters][1 : len(args) + 1]
    given = dict(zip(names, args, strict=True)) | kwargs
    family, unnamed = family_of(network), count()

    def masked(func, q, k, v, heads, mask=None, **more):
        main = "block_type" in more["transformer_options"]
        if not main and next(unnamed) not in family.text_calls(network):
            return func(q, k, v, heads, mask=mask, **more)
        length = q.shape[2]
        start = length - family.sequence.image(x, network, given).padded if main else length
        masks = masks_of(lengths, shares if main else shares[..., :0], has_global, start, length)
        return attend_masked(q, k, v, masks, mask)

    options = {name: value for name, value in given["transformer_options"].items() if not name.startswith("block_")}
    given["transformer_options"] = options | {OVERRIDE: masked}
    with torch.no_grad():
        return network._forward(x, **given)


def test_a_region_over_everything_with_the_same_prompt_is_the_prompt(kind):
    assert torch.equal(draw(kind, add(base(kind), text(kind, 6))), draw(kind, base(kind)))


def test_without_strength_or_out_of_its_time_a_region_changes_nothing(kind):
    silent = add(
        add(base(kind), text(kind, 3, 2), half(kind, "left"), strength=0.0), text(kind, 4, 3), start_percent=0.9
    )
    assert torch.equal(draw(kind, silent), draw(kind, base(kind)))


def two_regions(kind, **settings):
    regions = add(base(kind), text(kind, 3, 2), half(kind, "left"), **settings)
    return add(regions, text(kind, 5, 3), half(kind, "right"), **settings)


def test_hard_regions_attend_as_masks_over_the_sequence_say(kind):
    """Two texts, the global prompt heard by nobody and so left out."""
    network = model_of(kind).model.diffusion_model
    _, (call,) = seen_by(kind, two_regions(kind))
    lengths = (512, 512) if kind.startswith("FLUX.2") else (3, 5)
    patch = patch_of(network)
    masks = torch.cat([half(kind, side) for side in ("left", "right")])[None]
    shares = Regions(1, (Region(1), Region(1))).weights(masks, torch.zeros(1), patch)[:, 1:]
    expected = with_masks(network, call, lengths, shares, has_global=False)
    torch.testing.assert_close(call[3], expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(call[3], seen_by(kind, base(kind))[1][0][3], atol=2e-5)


@pytest.mark.parametrize("kind", ["z_image", "Qwen-Image"])
def test_zero_out_of_the_very_prompt_that_is_drawn_is_no_regional_prompt(kind, stock):
    """Z-Image's usual negative: it hangs on the same regions, and is in the same batch wherever it can be."""
    positive = two_regions(kind)
    negatives = [stock.ConditioningZeroOut().zero_out(one)[0] for one in (positive, base(kind))]
    drawn = [draw(kind, positive, negative, cfg=3.0) for negative in negatives]
    torch.testing.assert_close(*drawn, atol=1e-4, rtol=1e-3)


def test_soft_regions_have_the_sum_by_shares(kind):
    """Three texts: a soft region of each picture of a batch, an overlap, a part for the global prompt."""
    network = model_of(kind).model.diffusion_model
    size = size_of(kind)
    soft = torch.rand(2, *size[-2:], generator=torch.Generator().manual_seed(0))
    positive = add(base(kind), text(kind, 3, 2), soft, strength=0.8)
    positive = add(positive, text(kind, 5, 3), half(kind, "right"), global_weight=0.25)
    _, (call,) = seen_by(kind, positive, batch=2)
    lengths = (512, 512, 512) if kind.startswith("FLUX.2") else (6, 3, 5)
    masks = torch.stack([soft, half(kind, "right").expand(2, -1, -1)], dim=1)
    regions = Regions(1, (Region(1, 0.8), Region(1, 1.0, 0.25)))
    shares = regions.weights(masks, torch.zeros(1), patch_of(network))
    expected = with_masks(network, call, lengths, shares, has_global=True)
    torch.testing.assert_close(call[3], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CLOSED)
def test_other_families_are_refused_by_name(name):
    message = f"this conditioning has regional prompts.*Z-Image.*Qwen-Image.*{name}: it"
    with pytest.raises(ValueError, match=message):
        draw(name, two_regions(name))
