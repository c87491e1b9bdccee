"""Scaled RoPE, proportional attention and Context Drop on every family of core's: the image's tokens and no others."""

import math
from functools import cache

import pytest
import torch

from lumina_next.nextdit import ContextDrop
from lumina_next.nextdit.train_size import NATIVE
from lumina_next.nodes.adapter.host.core_families import FAMILIES, family_of
from lumina_next.nodes.adapter.models.train_size import token_pixels
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support.core_families import CASES, call, load_family, noise

CLOSED = ["OmniGen2", "Boogu-Image", "HiDream-I1", "ERNIE-Image"]
OPEN = [name for name in CASES if name not in CLOSED]
SIDE = 8  # tokens of the square that these tests take for native


@cache
def model_of(name: str):
    return load_family(CASES[name])


@pytest.fixture(scope="module", autouse=True)
def models():
    yield
    model_of.cache_clear()


@pytest.fixture(params=CASES)
def name(request):
    return request.param


@pytest.fixture(params=OPEN)
def open_name(request):
    return request.param


def native(model) -> int:
    return SIDE * token_pixels(model, model.get_model_object("diffusion_model"))


def scaled(name: str, method: str, **options):
    model = model_of(name)
    return scale_rope(model, method, native(model), **options)[0]


def latent(name: str) -> torch.Tensor:
    return noise(1, *CASES[name].latent)


def small(name: str) -> torch.Tensor:
    """Return a latent of a part of the native size."""
    x, patch = latent(name), CASES[name].latent[-1] // CASES[name].grid[1]
    return x[..., : SIDE * patch, : SIDE * patch]


def test_within_the_native_size_nothing_changes_by_a_bit(name):
    case, x = CASES[name], small(name)
    patched = scaled(name, "interpolation", proportional=name in OPEN)
    assert torch.equal(call(patched, x, case), call(model_of(name), x, case))


def test_the_images_rows_and_columns_turn_and_nothing_else(name):
    """The oracle is core's embedder itself, on positions that are divided by the factor."""
    case, x = CASES[name], latent(name)
    patched = scaled(name, "interpolation")
    family = family_of(patched.get_model_object("diffusion_model"))
    embedder, calls = patched.object_patches[f"diffusion_model.{family.embedder}"], []
    handle = embedder.register_forward_hook(lambda _, args, out: calls.append((args[0], out)))
    out = call(patched, x, case)
    handle.remove()
    assert torch.isfinite(out).all() and not torch.equal(out, call(model_of(name), x, case))
    rows = family.axes.index("rows")
    if "lumina" in case.network:  # asks for the text's and for the image's tokens, one after the other
        calls = [(torch.cat([ids for ids, _ in calls], 1), torch.cat([t for _, t in calls], family.table.tokens))]
    for turn, (ids, table) in enumerate(calls):
        moved = ids.clone().float()
        if turn == 0:
            assert ids.shape[1] == (case.length if family.name != "Wan" else case.image.stop)
            moved[:, case.image, rows : rows + 2] /= math.sqrt(math.prod(case.grid)) / SIDE
            assert not torch.equal(moved, ids)
        torch.testing.assert_close(table, embedder.plain(moved), atol=2e-5, rtol=0)
        around = torch.ones(ids.shape[1], dtype=torch.bool)
        around[case.image if turn == 0 else slice(0, 0)] = False
        at = [slice(None)] * table.ndim
        at[family.table.tokens] = around
        assert torch.equal(table[tuple(at)], embedder.plain(ids)[tuple(at)])


def rows_of(value, count: int):
    """Return conds for a batch of `count` rows."""
    if isinstance(value, list):
        return [rows_of(x, count) for x in value]
    return value.expand(count, *value.shape[1:]) if torch.is_tensor(value) else value


@pytest.mark.parametrize("name", [name for name in CASES if "ref_latent" not in CASES[name].conds()])  # core: one alone
def test_times_of_a_batch_have_frequencies_of_their_own(name):
    case, patched = CASES[name], scaled(name, "time_aware")
    sigma, x = torch.tensor([0.9, 0.2]), noise(2, *case.latent)
    conds = {key: rows_of(value, 2) for key, value in case.conds().items()}
    both = call(patched, x, case, sigma=sigma, **conds)
    each = [call(patched, x[i, None], case, sigma=sigma[i, None]) for i in (0, 1)]
    torch.testing.assert_close(both, torch.cat(each), atol=1e-4, rtol=1e-4)
    assert not torch.equal(each[1], call(patched, x[1, None], case, sigma=sigma[0, None]))


@pytest.mark.parametrize("name", ["FLUX.1", "Chroma", "Qwen-Image"])
def test_a_controlnet_acts_as_it_does_without_the_nodes(name):
    case, model = CASES[name], model_of(name)
    for x, tokens in ((small(name), SIDE**2), (latent(name), math.prod(case.grid))):
        control = {"input": [noise(1, tokens, 64)], "output": []}
        plain, scaled_too = (
            call(model, x, case, control=control),
            call(scaled(name, "interpolation"), x, case, control=control),
        )
        assert torch.equal(plain, scaled_too) == (tokens == SIDE**2)
        assert not torch.equal(scaled_too, call(scaled(name, "interpolation"), x, case))
        both = drop_context(scaled(name, "extrapolation", proportional=True), ContextDrop(2, "none"))
        assert torch.isfinite(call(both, x, case, control=control)).all()


def first_layers(model, name: str) -> list[list[torch.Tensor]]:
    """Return queries, keys and values (B, H, L, D) of the layers' attention over the sequence, as the backend's."""
    case, seen, said = CASES[name], [], set()

    def look(func, q, k, v, heads, mask=None, **kwargs):
        options = kwargs["transformer_options"]
        layer = options.get("block_type"), options.get("block_index")
        if options.get("block_type") and layer not in said:
            said.add(layer)
            apart = kwargs.get("skip_reshape")
            width = q.shape[-1] if apart else q.shape[-1] // heads
            seen.append([x if apart else x.unflatten(-1, (-1, width)).transpose(1, 2) for x in (q, k, v)])
        return func(q, k, v, heads, mask=mask, **kwargs)

    assert torch.isfinite(call(model, latent(name), case, look)).all()
    assert len(seen) == case.layers
    return seen


def averaged(image: torch.Tensor, grid: tuple[int, int], frames: int) -> torch.Tensor:
    cells = image.unflatten(2, (frames, *grid))
    blocks = [
        cells[:, :, f, r : r + 2, c : c + 2].mean((2, 3))
        for f in range(frames)
        for r in range(0, grid[0], 2)
        for c in range(0, grid[1], 2)
    ]
    return torch.stack(blocks, dim=2)


def test_context_drop_pools_the_image_and_nothing_else(open_name):
    case, model = CASES[open_name], model_of(open_name)
    plain, dropped = (
        first_layers(model, open_name)[0],
        first_layers(drop_context(model, ContextDrop(2, "none")), open_name),
    )
    assert torch.equal(plain[0], dropped[0][0]) and plain[0].shape[2] == case.length
    for whole, got in zip(plain[1:], dropped[0][1:], strict=True):
        start, stop = case.image.start, case.image.stop
        image = averaged(whole[:, :, case.image], case.grid, case.frames)
        torch.testing.assert_close(got, torch.cat([whole[:, :, :start], image, whole[:, :, stop:]], dim=2))
    assert all(layer[1].shape[2] < case.length for layer in dropped)


def test_context_drop_fades_layer_by_layer(open_name):
    case = CASES[open_name]
    layers = first_layers(drop_context(model_of(open_name), ContextDrop(2)), open_name)  # sigma 0.9: all of two
    assert [layer[1].shape[2] < case.length for layer in layers] == [True, True]
    patched = drop_context(model_of(open_name), ContextDrop(2))
    assert not torch.equal(call(patched, latent(open_name), case), call(model_of(open_name), latent(open_name), case))
    half = call(patched, latent(open_name), case, sigma=0.02)
    assert torch.equal(half, call(model_of(open_name), latent(open_name), case, sigma=0.02))


def test_proportional_attention_sharpens_the_images_queries_and_no_others(open_name):
    case, model = CASES[open_name], model_of(open_name)
    (plain, *_), (sharp, *_) = (
        first_layers(x, open_name)[0] for x in (model, scaled(open_name, "extrapolation", proportional=True))
    )
    factor = sharp / plain
    expected = torch.ones_like(factor)
    expected[:, :, case.image] = math.sqrt(math.log(math.prod(case.grid)) / math.log(SIDE**2))
    torch.testing.assert_close(factor, expected)


def test_references_that_core_keeps_from_an_earlier_step_have_no_queries():
    """Flux KV Cache: from the second step on, queries are [text | image], keys [text | image | references]."""
    from comfy_extras.nodes_flux import FluxKVCache

    name, case = "FLUX.2 with a reference", CASES["FLUX.2 with a reference"]
    model = FluxKVCache.execute(model_of(name)).result[0]
    call(model, latent(name), case)
    plain = first_layers(model, name)[0]
    assert plain[0].shape[2] == case.image.stop and plain[1].shape[2] == case.length
    sharp = first_layers(scale_rope(model, "extrapolation", native(model), proportional=True)[0], name)[0]
    assert ((sharp[0] / plain[0])[:, :, case.image] > 1.01).all() and torch.equal(
        sharp[0][:, :, :5], plain[0][:, :, :5]
    )
    pooled = first_layers(drop_context(model, ContextDrop(2, "none")), name)[0][1]
    image = averaged(plain[1][:, :, case.image], case.grid, 1)
    rest = plain[1][:, :, case.image.stop :]
    torch.testing.assert_close(pooled, torch.cat([plain[1][:, :, :5], image, rest], dim=2))


@pytest.mark.parametrize("name", CLOSED)
def test_attention_that_no_door_reaches_is_refused(name):
    with pytest.raises(ValueError, match=f"Context Drop cannot reach the attention of {name} models, since"):
        drop_context(model_of(name), ContextDrop(2))
    with pytest.raises(ValueError, match=f"Proportional attention cannot reach the attention of {name} models"):
        scaled(name, "interpolation", proportional=True)


def test_references_among_the_images_tokens_are_refused():
    case = CASES["HiDream-I1"]
    with pytest.raises(RuntimeError, match="cannot tell the image from its reference .image_cond."):
        call(scaled("HiDream-I1", "interpolation"), latent("HiDream-I1"), case, image_cond=noise(1, 16, 24, 40))


def test_networks_whose_text_counts_on_the_images_axes_are_unknown():
    network = model_of("FLUX.1").model.diffusion_model
    network.params.txt_ids_dims = [1, 2]  # as LongCat-Image
    try:
        with pytest.raises(ValueError, match="Scaled RoPE works with Lumina-Next models and, .* but got a Flux model"):
            scale_rope(model_of("FLUX.1"), "interpolation", 128)
    finally:
        network.params.txt_ids_dims = []


def test_sequences_with_the_image_in_front_of_the_text_are_unknown():
    """HunyuanVideo's, in releases of ComfyUI whose layers say so (0.3.64)."""
    network = model_of("HunyuanVideo 1.5").model.diffusion_model
    assert family_of(network).name == "HunyuanVideo"
    network.double_blocks[0].flipped_img_txt = True
    try:
        assert family_of(network) is None
    finally:
        del network.double_blocks[0].flipped_img_txt


def test_a_latent_in_patches_has_a_token_a_cell():
    """Lens says a patch of 2, but its latents come joined: 16 pixels a token, not 32."""
    assert scale_rope(model_of("Lens"), "auto")[1].train_tokens == 1440 // 16


def test_hunyuans_models_that_paint_over_another_ones_picture_ask_for_their_size():
    of = family_of(model_of("HunyuanVideo 1.5").model.diffusion_model).native
    video, image = {"patch_size": [1, 2, 2], "in_channels": 16}, {"patch_size": [1, 1], "in_channels": 64}
    newer = {"patch_size": [1, 1, 1], "in_channels": 65, "vision_in_dim": 1152}
    assert [of(video), of(newer), of(image)] == ["hunyuan_video", "hunyuan_video", "hunyuan_image"]
    assert of(newer | {"in_channels": 98}) is of(image | {"patch_size": [1, 1, 1]}) is None


def test_networks_that_only_inherit_from_a_known_one_are_unknown():
    network = model_of("Wan").model.diffusion_model

    class Other(type(network)):
        pass

    assert family_of(network).name == "Wan"
    known, network.__class__ = type(network), Other
    try:
        assert family_of(network) is None
    finally:
        network.__class__ = known


def test_every_family_has_a_case_and_a_size():
    tried = {family_of(model_of(name).model.diffusion_model).name for name in CASES} | {"Qwen-Image-2.1"}  # by itself
    assert tried == {family.name for family in FAMILIES}  # more of the first: test_core_sequence.py
    known = {"model_dim": 2560, "patch_size": [1, 1]}
    called = {"FLUX.1": "flux", "FLUX.2": "flux2"}
    sizes = [family.native(known | {"image_model": called.get(family.name, "lumina2")}) for family in FAMILIES]
    assert all(NATIVE[size].source for size in sizes)
