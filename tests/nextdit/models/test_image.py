"""NextDiT against diffusers' implementation, which equals the reference code."""

import re

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_2d_rotary_pos_embed_lumina

from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig, RopeScaling
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.families import to_model_keys
from lumina_next.nextdit.layers import cpu_rows as rows
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.layers.rope_scaling import METHODS
from lumina_next.nextdit.layers.tokens import pad_to_patches
from lumina_next.tests.nextdit.conftest import diffusers_model, randomise


def inputs(config, batch=3, size=(12, 20), length=7, seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, config.in_channels, *size, generator=g)
    text = torch.randn(batch, length, config.text_dim, generator=g)
    mask = torch.arange(length)[None] < torch.tensor([length, 3, 1])[:batch, None]
    return x, torch.linspace(0.05, 0.9, batch), text, mask


def their_velocity(theirs, x, t, text, mask, linear=1.0, ntk=1.0, **cross):
    rotary = get_2d_rotary_pos_embed_lumina(theirs.head_dim, 384, 384, linear_factor=linear, ntk_factor=ntk)
    out = theirs(x, t, text, mask, rotary, cross_attention_kwargs=cross, return_dict=False)[0]
    return out.chunk(2, dim=1)[0]


def assert_close(ours, theirs):
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@torch.no_grad()
def test_equals_diffusers_with_padded_text_odd_aspect_and_mixed_times(twins, config):
    ours, theirs = twins
    x, t, text, mask = inputs(config)
    assert_close(ours(x, t, text, mask), their_velocity(theirs, x, t, text, mask))


@torch.no_grad()
@pytest.mark.parametrize("t", [0.1, 0.29, 0.31, 0.9])
def test_watershed_and_proportional_attention_equal_diffusers(twins, config, t):
    ours, theirs = twins
    x, _, text, mask = inputs(config, size=(24, 40))
    s = 1.7
    factors = {"linear": s} if t < 0.3 else {"ntk": s}
    expected = their_velocity(theirs, x, torch.full((3,), t), text, mask, base_sequence_length=8**2, **factors)
    rope = RopeScaling("time_aware_watershed", s, train_tokens=8, proportional=True)
    assert_close(ours(x, torch.full((3,), t), text, mask, rope=rope), expected)


@torch.no_grad()
def test_no_mask_equals_a_mask_of_ones(twins, config):
    ours, _ = twins
    x, t, text, mask = inputs(config)
    torch.testing.assert_close(ours(x, t, text), ours(x, t, text, torch.ones_like(mask)), rtol=0, atol=1e-5)


@torch.no_grad()
def test_padding_text_changes_nothing(twins, config):
    ours, _ = twins
    x, t, text, mask = inputs(config)
    longer = torch.cat([text, torch.randn(3, 5, config.text_dim)], dim=1)
    out = ours(x, t, longer, torch.cat([mask, torch.zeros(3, 5, dtype=torch.bool)], dim=1))
    torch.testing.assert_close(out, ours(x, t, text, mask), rtol=0, atol=1e-5)


@torch.no_grad()
def test_text_without_any_token_gives_numbers(twins, config):
    ours, _ = twins
    x, t, text, mask = inputs(config)
    assert torch.isfinite(ours(x, t, text, torch.zeros_like(mask))).all()


@torch.no_grad()
def test_odd_sizes_are_padded_and_cropped(twins, config):
    ours, _ = twins
    x, t, text, mask = inputs(config, size=(11, 13))
    out = ours(x, t, text, mask)
    assert out.shape == x.shape
    wrapped = torch.cat([x, x[..., :1]], dim=-1)
    wrapped = torch.cat([wrapped, wrapped[..., :1, :]], dim=-2)
    torch.testing.assert_close(out, ours(wrapped, t, text, mask)[..., :11, :13])


@torch.no_grad()
def test_the_attention_backend_is_an_argument(twins, config):
    ours, _ = twins
    calls = []

    def spy(q, k, v, mask=None):
        calls.append((q.shape[1], k.shape[1], mask is None))
        return sdpa(q, k, v, mask)

    x, t, text, mask = inputs(config)
    torch.testing.assert_close(ours(x, t, text, mask, attend=spy), ours(x, t, text, mask))
    heads = (config.n_heads, config.n_kv_heads)
    assert calls == [(*heads, True), (*heads, False)] * config.n_layers  # grouped keys arrive unexpanded


@torch.no_grad()
def test_context_drop_changes_the_result_only_when_it_drops(twins, config):
    ours, _ = twins
    x, t, text, mask = inputs(config, size=(14, 10))
    plain = ours(x, t, text, mask)
    torch.testing.assert_close(ours(x, t, text, mask, drop=ContextDrop(window=1)), plain, rtol=0, atol=0)
    late = torch.ones(3)
    torch.testing.assert_close(ours(x, late, text, mask, drop=ContextDrop()), ours(x, late, text, mask), rtol=0, atol=0)
    assert (ours(x, t, text, mask, drop=ContextDrop(fade="none")) - plain).abs().max() > 1e-3
    with pytest.raises(ValueError, match="needs one time for the whole batch"):
        ours(x, t, text, mask, drop=ContextDrop())


@torch.no_grad()
def test_half_weights_take_and_return_the_callers_dtype():
    config = NextDiTConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=24)
    model = NextDiT(config).bfloat16()
    x, t, text, mask = inputs(config)
    assert model(x, t, text, mask).dtype is torch.float32


def test_wrong_channels_and_widths_are_named():
    config = NextDiTConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=24)
    x, t, text, mask = inputs(config)
    with pytest.raises(ValueError, match="latent has 3 channels, but this Next-DiT takes 4"):
        NextDiT(config)(x[:, :3], t, text, mask)
    with pytest.raises(ValueError, match="features are 20 wide, but this Next-DiT takes 24"):
        NextDiT(config)(x, t, text[..., :20], mask)


@pytest.mark.parametrize("shape", [(4, 8, 8), (2, 4, 1, 8, 8), (8, 8), (2, 4, 1, 1, 8, 8), (2, 4, 0, 8), (2, 4, 8, 0)])
def test_latents_of_another_shape_are_refused_in_words(shape):
    config = NextDiTConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=24)
    _, t, text, mask = inputs(config)
    says = "latent is empty" if len(shape) == 4 else f"latent has {len(shape)} dimensions"
    with pytest.raises(ValueError, match=f"{says}, {re.escape(str(shape))}"):
        NextDiT(config)(torch.zeros(shape), t, text, mask)


@torch.no_grad()
@pytest.mark.parametrize("patch_size", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (3, 2), (5, 6)])
def test_sides_shorter_than_their_padding_wrap_around_as_often_as_it_takes(patch_size, size):
    config = NextDiTConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=24, patch_size=patch_size)
    x, t, text, mask = inputs(config, size=size)
    model = randomise(NextDiT(config))
    tiled = x.repeat(1, 1, 8, 8)[
        ..., : -(-size[0] // patch_size) * patch_size, : -(-size[1] // patch_size) * patch_size
    ]
    out = model(x, t, text, mask)
    assert out.shape == x.shape and out.abs().max() > 0
    assert torch.equal(out, model(tiled, t, text, mask)[..., : size[0], : size[1]])


def test_padding_of_every_size_is_the_circular_one():
    for height in range(1, 10):
        for width in range(1, 10):
            x = torch.randn(1, 2, height, width)
            for patch_size in (1, 2, 4):
                right, bottom = -width % patch_size, -height % patch_size
                if right <= width and bottom <= height:
                    expected = F.pad(x, (0, right, 0, bottom), mode="circular")
                    assert torch.equal(pad_to_patches(x, patch_size), expected)


@torch.no_grad()
@pytest.mark.parametrize("method", [None, *METHODS])
def test_compiles_without_a_graph_break(method):
    torch._dynamo.reset()  # its limit of recompilations counts the other methods' too
    rope = method and RopeScaling(method, 2.0)
    config = NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24)
    model = NextDiT(config).eval()
    x, t, text, mask = inputs(config)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, t, text, mask, rope=rope), model(x, t, text, mask, rope=rope))
    dropped = compiled(x, t, text, mask, rope=rope, drop=ContextDrop(fade="none"))
    torch.testing.assert_close(dropped, model(x, t, text, mask, rope=rope, drop=ContextDrop(fade="none")))


@torch.no_grad()
def test_cross_and_pooled_take_the_place_of_the_defaults(twins, config):
    ours, _ = twins
    x, t, text, _ = inputs(config, batch=2)
    plain = ours.velocity(x, t, text)
    assert torch.equal(ours.velocity(x, t, text, call=Call(cross=sdpa, pooled=text.mean(1))), plain)
    assert not torch.equal(ours.velocity(x, t, text, call=Call(cross=lambda q, k, v, mask: torch.zeros_like(q))), plain)
    assert not torch.equal(ours.velocity(x, t, text, call=Call(pooled=torch.zeros_like(text[:, 0]))), plain)


@torch.no_grad()
def test_blocks_of_rows_change_nothing(twins, config, monkeypatch):
    ours, _ = twins
    x, t, text, mask = inputs(config)
    with torch.enable_grad():  # whole tensors
        expected = ours(x, t, text, mask).detach()
    monkeypatch.setattr(rows, "BLOCK", 7 * 3 * config.dim)  # seven tokens at a time, which do not divide the image
    torch.testing.assert_close(ours(x, t, text, mask), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_attention_in_blocks_of_queries_equals_sdpa(monkeypatch):
    monkeypatch.setattr(rows, "SCORES", 300 * 70)  # blocks of 70 queries
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 300, 72, generator=g) for heads in (6, 2, 2))
    torch.testing.assert_close(rows.attend_by_rows(q, k, v), sdpa(q, k, v), rtol=0, atol=1e-5)
    half = [x.bfloat16() for x in (q, k, v)]
    exact = sdpa(*(x.float() for x in half))
    torch.testing.assert_close(rows.attend_by_rows(*half).float(), exact, rtol=0, atol=0.02)


@torch.no_grad()
@pytest.mark.skipif(not rows.cpu_has("avx512_bf16"), reason="needs a CPU with bfloat16 products")
def test_half_precision_is_no_further_from_the_exact_result_than_diffusers():
    config = NextDiTConfig(dim=288, n_layers=2, n_heads=4, n_kv_heads=1, text_dim=32)
    theirs = diffusers_model(config).bfloat16()
    ours = NextDiT(config)
    ours.load_state_dict(to_model_keys(theirs.state_dict()))
    ours = ours.eval().bfloat16()
    x, t, text, mask = (part.bfloat16() for part in inputs(config, size=(36, 40)))
    mine, other = ours(x, t, text, mask), their_velocity(theirs, x, t, text, mask)
    exact = ours.float()(x.float(), t.float(), text.float(), mask)
    assert (mine.float() - exact).norm() <= 1.1 * (other.float() - exact).norm()
