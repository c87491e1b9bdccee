"""The patch nodes on Qwen-Image-2.1, whose text, references and image attend one after the other, by a stand-in."""

import math

import comfy.sample
import pytest
import torch
from comfy.ldm.modules import attention

from lumina_next.nextdit import ContextDrop
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support.core_families import noise
from lumina_next.tests.support.newer_qwen import load_qwen_21
from lumina_next.tests.support.patch_models import prompt

ROWS, COLUMNS, TEXT, SIDE = 8, 12, 5, 7
COUNT = ROWS * COLUMNS
REFERENCES = {  # sizes, and where in the text they stand
    "no reference": ([], []),
    "a reference": ([(4, 6)], [2]),
    "of the image's size": ([(ROWS, COLUMNS)], [3]),
    "two, one after the text": ([(5, 7), (ROWS, COLUMNS)], [1]),
}
PATCHES = {
    "Scaled RoPE": lambda model: scale_rope(model, "interpolation", SIDE * 16)[0],
    "Context Drop": lambda model: drop_context(model, ContextDrop(2, "none")),
    "proportional": lambda model: scale_rope(model, "extrapolation", SIDE * 16, proportional=True)[0],
}
PATCHES["all"] = lambda model: PATCHES["Context Drop"](scale_rope(model, "ntk_aware", SIDE * 16, proportional=True)[0])


@pytest.fixture(scope="module")
def model():
    return load_qwen_21()


@pytest.fixture(params=REFERENCES)
def conds(request):
    return conds_of(request.param)


def conds_of(references: str) -> dict:
    sizes, slots = REFERENCES[references]
    return {"ref_latents": [noise(1, 64, *size, seed=i) for i, size in enumerate(sizes)], "image_slots": slots}


def before(conds: dict) -> int:
    return TEXT + sum(math.prod(ref.shape[-2:]) for ref in conds.get("ref_latents", ()))


def call(model, x=None, override=None, sigma=0.9, **conds):
    """Evaluate a MODEL once."""
    x = noise(1, 64, ROWS, COLUMNS) if x is None else x
    options = model.model_options["transformer_options"] | {"wrappers": model.wrappers}
    options |= {"optimized_attention_override": override} if override else {}
    text, sigmas = noise(1, TEXT, 20, seed=3).expand(len(x), -1, -1), torch.as_tensor(sigma).expand(len(x))
    model.patch_model()
    model.model.current_patcher = model
    try:
        with torch.no_grad():
            return model.model.apply_model(x, sigmas, c_crossattn=text, **conds, transformer_options=options)
    finally:
        model.model.current_patcher = None
        model.unpatch_model()


def first_layer(model, conds: dict) -> list[tuple[torch.Tensor, ...]]:
    """Return queries, keys and values (B, L, H·D) of each call of attention in the first layer."""
    seen = []

    def look(func, q, k, v, heads, mask=None, **kwargs):
        if kwargs["transformer_options"]["block_index"] == 0:
            seen.append((q, k, v))
        return func(q, k, v, heads, mask=mask, **kwargs)

    assert torch.isfinite(call(model, override=look, **conds)).all()
    return seen


def averaged(image: torch.Tensor) -> torch.Tensor:
    return image.unflatten(1, (ROWS // 2, 2, COLUMNS // 2, 2)).mean((2, 4)).flatten(1, 2)


def test_its_size_is_known(model):
    _, settings = scale_rope(model, "time_aware")
    assert settings.train_tokens == 128 and settings.any_aspect


def test_within_the_native_size_nothing_changes_by_a_bit(model):
    x, conds = noise(1, 64, SIDE, SIDE), conds_of("two, one after the text")
    for name in ("Scaled RoPE", "proportional"):
        assert torch.equal(call(PATCHES[name](model), x, **conds), call(model, x, **conds))


def test_the_images_rows_and_columns_turn_and_nothing_else(model, conds):
    patched, seen = PATCHES["Scaled RoPE"](model), []
    embedder = patched.object_patches["diffusion_model.pe_embedder"]
    handle = embedder.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    out = call(patched, **conds)
    handle.remove()
    ((ids, table),) = seen
    moved = ids.clone()
    moved[:, before(conds) :, 1:] /= math.sqrt(COUNT) / SIDE
    torch.testing.assert_close(table, embedder.plain(moved), atol=2e-5, rtol=0)
    assert torch.equal(table[:, :, : before(conds)], embedder.plain(ids)[:, :, : before(conds)])
    assert not torch.equal(out, call(model, **conds))


def test_times_of_a_batch_have_frequencies_of_their_own(model):
    conds = conds_of("a reference")
    patched, x = scale_rope(model, "time_aware", SIDE * 16)[0], noise(2, 64, ROWS, COLUMNS)
    sigma = torch.tensor([0.9, 0.2])
    both = call(patched, x, sigma=sigma, **conds)
    each = [call(patched, x[i, None], sigma=sigma[i, None], **conds) for i in (0, 1)]
    torch.testing.assert_close(both, torch.cat(each), atol=1e-4, rtol=1e-4)


def test_context_drop_pools_the_images_keys_in_the_images_call_and_nothing_else(model, conds):
    plain, dropped = first_layer(model, conds), first_layer(PATCHES["Context Drop"](model), conds)
    assert len(plain) == len(dropped)
    for old, new in zip(plain[:-1], dropped[:-1], strict=True):
        assert all(map(torch.equal, old, new))
    assert torch.equal(plain[-1][0], dropped[-1][0]) and plain[-1][0].shape[1] == COUNT
    start = before(conds)
    for whole, got in zip(plain[-1][1:], dropped[-1][1:], strict=True):
        assert whole.shape[1] == start + COUNT
        torch.testing.assert_close(got, torch.cat([whole[:, :start], averaged(whole[:, start:])], dim=1))


def test_proportional_attention_sharpens_the_images_queries_and_no_others(model, conds):
    plain, sharp = first_layer(model, conds), first_layer(PATCHES["proportional"](model), conds)
    for old, new in zip(plain[:-1], sharp[:-1], strict=True):
        assert all(map(torch.equal, old, new))
    factor = sharp[-1][0] / plain[-1][0]
    expected = math.sqrt(math.log(COUNT) / math.log(SIDE**2))
    torch.testing.assert_close(factor, torch.full_like(factor, expected))
    assert torch.equal(plain[-1][1], sharp[-1][1])


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_steps_that_compute_the_image_alone_come_out_as_whole_ones(patch, model):
    """What precedes the image is kept from the first step on; no patch changes that or misses the others."""
    conds = conds_of("of the image's size")
    whole, keeping = patch(model), patch(load_qwen_21(keeps=True))
    for sigma in (0.9, 0.6):
        torch.testing.assert_close(call(keeping, sigma=sigma, **conds), call(whole, sigma=sigma, **conds))
    assert len(keeping.model.diffusion_model.kept) == 1
    assert not torch.equal(call(keeping, **conds), call(model, **conds))


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_no_patch_costs_a_layer_the_attention_that_its_checkpoint_prefers(patch):
    model, ran, conds = load_qwen_21(), [], conds_of("a reference")
    attn = model.model.diffusion_model.transformer_blocks[1].attn

    def prefer(*args, **kwargs):
        ran.append(args[0].shape[1])
        kwargs.pop("transformer_options")
        return attention.attention_pytorch(*args, **kwargs)

    attn.comfy_attention.function = prefer
    call(model, **conds)
    parts, ran[:] = list(ran), []
    call(patch(model), **conds)
    assert ran == parts and parts[-1] == COUNT


def test_a_part_that_is_split_by_another_node_is_an_error_that_says_so(model, monkeypatch):
    """As if another pack computed the image's queries by halves."""
    patched = PATCHES["Context Drop"](model)
    layer = type(model.model.diffusion_model.transformer_blocks[0].attn)
    attend = layer.attend

    def by_halves(self, q, *args, **kwargs):
        return torch.cat([attend(self, half, *args, **kwargs) for half in q.chunk(2, dim=1)], dim=1)

    monkeypatch.setattr(
        layer,
        "attend",
        lambda self, q, k, v, mask, options: (
            by_halves(self, q, k, v, mask=mask, options=options)
            if mask is None
            else attend(self, q, k, v, mask=mask, options=options)
        ),
    )
    with pytest.raises(RuntimeError, match="Context Drop did not reach .* as many queries as the picture has tokens"):
        call(patched)


def region_of(side: str) -> torch.Tensor:
    mask = torch.zeros(1, ROWS, COLUMNS)
    mask[..., slice(0, COLUMNS // 2) if side == "left" else slice(COLUMNS // 2, COLUMNS)] = 1.0
    return mask


SETTINGS = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}


def with_regions(**extra) -> list:
    positive = prompt(TEXT, **extra)
    for side, length, seed in (("left", 4, 1), ("right", 7, 2)):
        positive = add_region(positive, prompt(length, seed), region_of(side), False, **SETTINGS)
    return positive


def draw(model, positive, steps=2):
    latent = torch.zeros(1, 64, ROWS, COLUMNS)
    noise_ = comfy.sample.prepare_noise(latent, 7)
    return comfy.sample.sample(
        model, noise_, steps, 1.0, "euler", "simple", positive, prompt(6, 1), latent, seed=7, disable_pbar=True
    )


def test_each_region_hears_its_own_text(model):
    seen = []

    def look(func, q, k, v, heads, mask=None, **kwargs):
        seen.append((q.shape[1], k.shape[1]))
        return func(q, k, v, heads, mask=mask, **kwargs)

    draw(attending(model, look), with_regions(), steps=1)
    texts, halves = [(4, 4), (7, 7)], [(COUNT // 2, 4 + COUNT), (COUNT // 2, 7 + COUNT)]
    assert seen == (texts + halves) * 2  # layers; no one hears the global prompt


def masked(func, q, k, v, heads, mask=None, **kwargs):
    """Attend by brute force: what is of the first text's half and what of the second's, by a mask over everything."""
    owner = torch.tensor([0] * 4 + [1] * 7 + [2] * COUNT)[: k.shape[1]]
    left = torch.arange(COUNT) % COLUMNS < COLUMNS // 2
    rows = owner if len(owner) == q.shape[1] else torch.where(left, 0, 1)
    allowed = (owner == 2) | (owner == rows[:, None])
    allowed = allowed if mask is None else allowed & mask
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(~allowed, -torch.inf).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def attending(model, override):
    clone = model.clone()
    clone.model_options["transformer_options"]["optimized_attention_override"] = override
    return clone


def with_pytorch(func, *args, **kwargs):
    return attention.attention_pytorch(*args, **kwargs)  # core's for CPUs adds masks that are true or false as numbers


def test_regions_equal_one_mask_over_everything(model):
    joined = [[torch.cat([prompt(4, 1)[0][0], prompt(7, 2)[0][0]], dim=1), {}]]
    expected = draw(attending(model, masked), joined)
    torch.testing.assert_close(draw(attending(model, with_pytorch), with_regions()), expected, atol=1e-4, rtol=1e-4)


def test_a_text_over_the_whole_picture_is_an_ordinary_prompt(model):
    whole = add_region(prompt(TEXT), prompt(7, 2), torch.ones(1, ROWS, COLUMNS), False, **SETTINGS)
    assert torch.equal(draw(model, whole), draw(model, prompt(7, 2)))
    assert not torch.equal(draw(model, with_regions()), draw(model, prompt(7, 2)))


def test_regions_go_together_with_the_other_nodes_and_with_what_is_kept(model):
    patch, keeping = PATCHES["all"], load_qwen_21(keeps=True)
    whole = draw(patch(model), with_regions())
    torch.testing.assert_close(whole, draw(patch(keeping), with_regions()))
    assert torch.isfinite(whole).all() and not torch.equal(whole, draw(model, with_regions()))


def test_regions_refuse_references_which_stand_among_the_text(model):
    reference = {"reference_latents": [noise(1, 64, 4, 6)], "image_slots": [2]}
    with pytest.raises(ValueError, match="Regional Prompt cannot go together with reference pictures on this model"):
        draw(model, with_regions(**reference))
