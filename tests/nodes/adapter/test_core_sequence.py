"""Sequences that are not [text | image]: the patch nodes touch the image's tokens and no other, or refuse."""

import math
from functools import cache

import comfy.ldm.lumina.model
import pytest
import torch

from lumina_next.nextdit import ContextDrop
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support.core_models import Z_IMAGE, load_core
from lumina_next.tests.support.newer_core import call, load_newer

MING = {  # latent (frames, rows, columns), references' sizes, length of the text
    "design": ((1, 24, 40), [], 10),
    "reference of the image's size": ((1, 24, 40), [(24, 40)], 10),
    "smaller reference": ((1, 24, 40), [(20, 28)], 10),
    "two references": ((1, 24, 40), [(16, 16), (24, 40)], 10),
    "layers": ((3, 24, 40), [], 32),
    "layers, reference": ((1, 24, 40), [(24, 40)], 32),
    "odd layers and a reference": ((3, 26, 38), [(22, 44)], 32),
    "odd pixels": ((2, 7, 13), [(5, 9), (3, 31)], 11),
}
OMNI = {  # references' sizes, how many have text, how many features
    "one reference": ([(24, 40)], 1, 1),
    "without text": ([(16, 20)], 0, 0),
    "two references": ([(16, 20), (24, 40)], 2, 1),
    "two references, three texts": ([(24, 40), (10, 12)], 3, 0),
}


def noise(*size: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def tokens(rows: int, columns: int) -> int:
    return math.ceil(rows / 2) * math.ceil(columns / 2)


def filled(count: int, multiple: int | None) -> int:
    return math.ceil(count / (multiple or 1)) * (multiple or 1)


@cache
def newer(multiple: int | None):
    return load_newer(pad_tokens_multiple=multiple, n_layers=1)


@cache
def z_image(siglip: bool):
    return load_core(Z_IMAGE | {"n_layers": 1} | ({"siglip_feat_dim": 12} if siglip else {}))


@pytest.fixture(scope="module", autouse=True)
def models():
    yield
    newer.cache_clear()
    z_image.cache_clear()


def ming(name: str, multiple: int | None):
    """Return a MODEL, a latent, its conds, where its image begins and how many rows and columns it has."""
    (frames, rows, columns), refs, length = MING[name]
    conds = {"ref_frames": [noise(1, 16, *size, seed=i) for i, size in enumerate(refs)], "length": length}
    model = newer(multiple)
    return model, noise(1, 16, frames, rows, columns), conds, filled(length, multiple), (rows, columns)


def omni(name: str, siglip: bool):
    """Do what `ming` does for Z-Image-Omni, whose references come first."""
    refs, texts, features = OMNI[name]
    conds = {
        "ref_latents": [noise(1, 16, *size, seed=i) for i, size in enumerate(refs)],
        "ref_contexts": [noise(1, 5 + 30 * i, 20, seed=i) for i in range(texts)],
    }
    conds |= {"siglip_feats": [noise(1, 3, 5, 12)] * features} if siglip else {}
    before = 32 + sum(filled(5 + 30 * i, 32) for i in range(texts)) + 32 * max(len(refs) - texts, 0)
    before += sum(filled(tokens(*size), 32) for size in refs) + (32 * (len(refs) + 1) if siglip else 0)
    model = z_image(siglip)
    return model, noise(1, 16, 24, 40), conds | {"length": 10}, before, (24, 40)


CASES = [(ming, name, multiple) for name in MING for multiple in (None, 32)]
CASES += [(omni, name, siglip) for name in OMNI for siglip in (False, True)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].__name__}, {case[1]}, {case[2]}")
def case(request):
    make, *options = request.param
    return make(*options)


def first_layer(model, x, conds) -> list[torch.Tensor]:
    """Return queries, keys and values of the first main layer, as the attention backend gets them."""
    seen = []

    def look(func, q, k, v, heads, mask=None, **kwargs):
        options = kwargs["transformer_options"]
        if options.get("block_type") == "double" and options["block_index"] == 0:
            seen.extend((q, k, v))
        return func(q, k, v, heads, mask=mask, **kwargs)

    assert torch.isfinite(call(model, x, look, **conds)).all()
    return seen


def averaged(image: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    frame = image.unflatten(2, grid)
    rows = [frame[:, :, r : r + 2, c : c + 2].mean((2, 3)) for r in range(0, grid[0], 2) for c in range(0, grid[1], 2)]
    return torch.stack(rows, dim=2)


def test_context_drop_pools_every_frame_of_the_image_and_nothing_else(case):
    model, x, conds, start, (rows, columns) = case
    grid, frames = (math.ceil(rows / 2), math.ceil(columns / 2)), x.shape[2] if x.ndim == 5 else 1
    plain, dropped = first_layer(model, x, conds), first_layer(drop_context(model, ContextDrop(2, "none")), x, conds)
    assert torch.equal(plain[0], dropped[0])
    for whole, got in zip(plain[1:], dropped[1:], strict=True):
        size = math.prod(grid)
        images = [averaged(whole[:, :, start + f * size :][:, :, :size], grid) for f in range(frames)]
        expected = torch.cat([whole[:, :, :start], *images, whole[:, :, start + frames * size :]], dim=2)
        torch.testing.assert_close(got, expected)


def test_proportional_attention_sharpens_the_images_queries_and_no_others(case):
    model, x, conds, start, (rows, columns) = case
    count = tokens(rows, columns) * (x.shape[2] if x.ndim == 5 else 1)
    scaled, _ = scale_rope(model, "extrapolation", 112, proportional=True)
    (plain, *_), (sharp, *_) = first_layer(model, x, conds), first_layer(scaled, x, conds)
    factor = sharp / plain
    assert (factor[:, :, :start] == 1).all() and (factor[:, :, start + count :] == 1).all()
    temperature = (math.log(tokens(rows, columns)) / math.log(49)) ** 0.5 if tokens(rows, columns) > 49 else 1.0
    torch.testing.assert_close(factor[:, :, start : start + count], torch.full_like(factor, temperature)[:, :, :count])


def test_scaled_rope_turns_the_image_and_leaves_references(case):
    model, x, conds, _, (rows, columns) = case
    patched, settings = scale_rope(model, "interpolation", 112)
    embedder, calls = patched.object_patches["diffusion_model.rope_embedder"], []
    handle = embedder.register_forward_hook(lambda _, args, out: calls.append((args[0], out)))
    call(patched, x, **conds)
    handle.remove()
    rope = settings.at((math.ceil(rows / 2), math.ceil(columns / 2)))
    count, parts = tokens(rows, columns) * (x.shape[2] if x.ndim == 5 else 1), 3 if "siglip_feats" in conds else 2
    plain_calls = parts * len(conds.get("ref_latents", ()))
    images = [i for i, (ids, _) in enumerate(calls) if i >= plain_calls and ids[..., 1:].any()]
    assert len(images) == 1
    for i, (ids, table) in enumerate(calls):
        expected = embedder.plain(ids)
        if i in images and rope is not None:
            moved = ids.clone()
            moved[:, :count, 1:] /= rope.factor
            expected = embedder.plain(moved)
        torch.testing.assert_close(table, expected, atol=2e-5, rtol=0)


def test_ming_images_native_size_is_2048():
    assert scale_rope(load_newer(), "time_aware")[1].train_tokens == 128


@pytest.mark.parametrize("node", ["Context Drop", "Proportional attention"])
def test_a_sequence_with_more_in_it_is_refused(node, monkeypatch):
    """A ComfyUI that puts something after the image that nobody here knows of."""
    pad = comfy.ldm.lumina.model.pad_zimage
    monkeypatch.setattr(comfy.ldm.lumina.model, "pad_zimage", lambda x, token, n: pad(x, token, n * n))
    model = load_core(Z_IMAGE)
    if node == "Context Drop":
        patched = drop_context(model, ContextDrop(2, "none"))
    else:
        patched = scale_rope(model, "extrapolation", 112, proportional=True)[0]
    with pytest.raises(
        RuntimeError, match=f"{node} cannot tell the image from the rest .* has 2048 tokens, but .* 288"
    ):
        call(patched, noise(1, 16, 24, 40))
    with pytest.raises(RuntimeError, match="Scaled RoPE cannot tell the image's positions .* the 256 tokens"):
        call(scale_rope(model, "interpolation", 112)[0], noise(1, 16, 24, 40))
