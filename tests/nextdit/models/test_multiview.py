"""The multi-view model: equal to NextDiT for one view, blind to the order of views, strict about its inputs."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit import (
    ContextDrop,
    MultiViewNextDiT,
    NextDiT,
    NextDiTConfig,
    RopeScaling,
    load_model,
    save_model,
)
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.context_drop import average_windows
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.layers.rope import Axes
from lumina_next.nextdit.layers.rope_scaling import PLAIN
from lumina_next.nextdit.layers.tokens import patchify
from lumina_next.nextdit.models.multiview import MultiViewConfig, across_frames, fold_frames, join_frames
from lumina_next.tests.nextdit.conftest import randomise
from lumina_next.training.loop.attention import within_frames

CONFIG = NextDiTConfig(dim=96, n_layers=3, n_heads=4, n_kv_heads=2, text_dim=40)


DROPPED = ContextDrop(fade="none")


def make(rope_axes=2, seed=0) -> MultiViewNextDiT:
    return randomise(MultiViewNextDiT(MultiViewConfig.of(CONFIG, rope_axes)), seed)


def inputs(views, sets=2, size=(12, 8), seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(sets, views, CONFIG.in_channels, *size, generator=g)
    azimuth = 360 * torch.rand(sets, views, generator=g)
    text = torch.randn(sets, 7, CONFIG.text_dim, generator=g)
    mask = torch.arange(7)[None] < torch.tensor([7, 3, 1])[:sets, None]
    image = torch.randn(sets, CONFIG.in_channels, *size, generator=g)
    return x, torch.linspace(0.1, 0.8, sets), azimuth, text, mask, image


@torch.no_grad()
@pytest.mark.parametrize("rope_axes", [2, 3])
@pytest.mark.parametrize("views", [1, 2, 5, 18])
def test_any_number_of_views_with_and_without_image(rope_axes, views):
    model = make(rope_axes)
    x, t, azimuth, text, mask, image = inputs(views)
    alone, shown = model(x, t, azimuth, text, mask), model(x, t, azimuth, text, mask, image=image)
    assert alone.shape == shown.shape == x.shape
    assert alone.isfinite().all() and (alone - shown).abs().max() > 1e-3
    assert (shown - model(x, t, azimuth, text, mask, image=-image)).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("rope", [None, RopeScaling("time_aware", 2.0, train_tokens=8, proportional=True)])
@pytest.mark.parametrize("drop", [None, DROPPED])
def test_one_view_of_an_initialised_model_is_the_image_models_picture(rope, drop):
    image_model = randomise(NextDiT(CONFIG))
    model = MultiViewNextDiT.from_image_model(image_model)
    x, t, azimuth, text, mask, _ = inputs(1)
    out = model(x, t, azimuth, text, mask, rope=rope, drop=drop)
    assert torch.equal(out[:, 0], image_model(x[:, 0], t, text, mask, rope=rope, drop=drop))
    assert not model.training and model.layers[0].attention.wq.weight is not image_model.layers[0].attention.wq.weight


@torch.no_grad()
def test_initialised_azimuths_do_nothing_and_trained_ones_count_modulo_a_turn():
    model = MultiViewNextDiT.from_image_model(randomise(NextDiT(CONFIG)))
    x, t, azimuth, text, mask, _ = inputs(3)
    assert torch.equal(model(x, t, azimuth, text, mask), model(x, t, 0 * azimuth, text, mask))
    model = make()
    out = model(x, t, azimuth, text, mask)
    assert (out - model(x, t, 0 * azimuth, text, mask)).abs().max() > 1e-3
    torch.testing.assert_close(model(x, t, azimuth - 360, text, mask), out, rtol=0, atol=1e-4)


@torch.no_grad()
def test_permuting_views_with_their_azimuths_permutes_the_result():
    x, t, azimuth, text, mask, image = inputs(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    for drop in (None, DROPPED):
        out = make()(x, t, azimuth, text, mask, image=image, drop=drop)
        moved = make()(x[:, order], t, azimuth[:, order], text, mask, image=image, drop=drop)
        torch.testing.assert_close(moved, out[:, order], rtol=0, atol=1e-4)
    counted = make(3)  # where a view's number has a place in RoPE
    difference = counted(x[:, order], t, azimuth[:, order], text, mask) - counted(x, t, azimuth, text, mask)[:, order]
    assert difference.abs().max() > 1e-3


@torch.no_grad()
def test_the_image_is_a_clean_view_at_time_1_and_azimuth_0():
    model, seen = make(), {}
    x, t, azimuth, text, mask, image = inputs(2)

    def note(name):
        def hook(module, arguments):
            seen.setdefault(name, arguments[0])

        return hook

    parts = {"t": model.t_embedder, "azimuth": model.azimuth_embedder, "x": model.x_embedder}
    hooks = [part.register_forward_pre_hook(note(name)) for name, part in parts.items()]
    out = model(x, t, azimuth, text, mask, image=image)
    for hook in hooks:
        hook.remove()
    assert torch.equal(seen["t"].view(2, 3), torch.stack([torch.ones(2), t, t], dim=1))
    assert torch.equal(seen["azimuth"].view(2, 3), torch.cat([torch.zeros(2, 1), azimuth], dim=1))
    assert torch.equal(seen["x"].unflatten(0, (2, 3))[:, 0], patchify(image, CONFIG.patch_size))
    # as a view at t = 1 it gives the others what it gives them as an image
    together = torch.cat([image[:, None], x], dim=1)
    zero = torch.cat([torch.zeros(2, 1), azimuth], dim=1)
    late = torch.ones(2)
    same = model(x, late, azimuth, text, mask, image=image)
    torch.testing.assert_close(same, model(together, late, zero, text, mask)[:, 1:], rtol=0, atol=1e-4)
    assert out.shape == x.shape


@torch.no_grad()
def test_views_see_each_other_but_sets_do_not():
    model = make()
    x, t, azimuth, text, mask, image = inputs(3)
    out = model(x, t, azimuth, text, mask, image=image)
    changed = x.clone()
    changed[0, 2] += 1
    other = model(changed, t, azimuth, text, mask, image=image)
    assert (other[0, :2] - out[0, :2]).abs().max() > 1e-3
    torch.testing.assert_close(other[1], out[1], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("drop", [None, DROPPED])
def test_within_frames_every_view_is_as_if_alone(drop):
    model = make()
    x, t, azimuth, text, mask, image = inputs(3)
    frames = {"attend": within_frames(sdpa, 4), "cross": sdpa}
    out = model(x, t, azimuth, text, mask, image=image, drop=drop, **frames)
    alone = [model(x[:, i : i + 1], t, azimuth[:, i : i + 1], text, mask, drop=drop) for i in range(3)]
    torch.testing.assert_close(out, torch.cat(alone, dim=1), rtol=0, atol=1e-4)


def test_frames_fold_and_join():
    x = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)  # (B, H, frames·N, D)
    folded = fold_frames(x, 2)
    assert folded.shape == (4, 3, 2, 5) and torch.equal(folded[1], x[0, :, 2:])
    assert torch.equal(join_frames(folded, 2), x)
    assert across_frames(sdpa, 1) is sdpa
    heads = torch.randn(6, 4, 3, 5).transpose(1, 2)  # as a Linear's output is cut into heads
    assert join_frames(heads, 3).data_ptr() == heads.data_ptr()


@torch.no_grad()
def test_context_drops_within_each_view():
    model, lengths = make(), []

    def spy(q, k, v, mask=None):
        lengths.append((q.shape[2], k.shape[2]))
        return sdpa(q, k, v, mask)

    x, t, azimuth, text, mask, image = inputs(2, size=(12, 10))  # 6×5 tokens a view, windows 3×3
    model(x, t, azimuth, text, mask, image=image, drop=DROPPED, attend=spy, cross=sdpa)
    assert lengths == [(3 * 30, 3 * 9)] * CONFIG.n_layers
    k = torch.randn(3, 2, 30, 4)
    assert torch.equal(average_windows(k, (6, 5), 2)[1:2], average_windows(k[1:2], (6, 5), 2))
    with pytest.raises(ValueError, match="needs one time for the whole batch"):
        model(x, t, azimuth, text, mask, drop=ContextDrop())


def test_three_axes_of_rope_stand_in_thirds():
    n = 4  # a third of 24 numbers is 4 pairs
    thetas = [PLAIN.frequencies(24, axes=3)] * 3
    torch.testing.assert_close(thetas[0], (-Axes.shared(24, 3).exponents() * torch.tensor(10000.0).log()).exp().float())
    cos, sin = Axes.shared(24, 3).table([torch.tensor([0, 1]), torch.arange(3), torch.arange(5)], thetas)
    assert cos.shape == (1, 2 * 3 * 5, 12)
    angles = torch.atan2(sin, cos).view(2, 3, 5, 3, n)
    for axis, index in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
        expected = torch.zeros(3, n)
        expected[axis] = thetas[axis]
        torch.testing.assert_close(angles[index], expected)
    some = [thetas[0], thetas[1].expand(5, -1), thetas[2].expand(5, -1)]
    batch = Axes.shared(24, 3).table([torch.arange(2)] * 3, some)
    assert batch.shape == (2, 5, 8, 12)


@torch.no_grad()
def test_three_axes_without_a_second_frame_leave_the_first_third_alone():
    model = make(3)
    cos, sin = model.rotary(torch.zeros(2), (2, 3), 1, Call())
    assert cos.shape == (2, 6, 12) and (cos[..., :4] == 1).all() and not sin[..., :4].any()
    table = model.rotary(torch.tensor([0.1, 0.9]), (2, 3), 3, Call(RopeScaling("time_aware", 2.0)))
    assert table.shape == (2, 6, 6, 12)
    assert torch.equal(table[:, 0, :, 4:], table[:, 2, :, 4:])  # a set's frames have its time
    assert not torch.equal(table[:, 0, :, 4:], table[:, 3, :, 4:])


@torch.no_grad()
@pytest.mark.parametrize("rope_axes", [2, 3])
def test_saved_and_loaded_it_is_the_same(rope_axes, tmp_path):
    model = make(rope_axes)
    save_model(model, tmp_path / "views.safetensors", {"title": "t"})
    loaded = load_model(tmp_path / "views.safetensors")
    assert isinstance(loaded, MultiViewNextDiT) and loaded.config == MultiViewConfig.of(CONFIG, rope_axes)
    x, t, azimuth, text, mask, image = inputs(2)
    assert torch.equal(loaded(x, t, azimuth, text, mask, image=image), model(x, t, azimuth, text, mask, image=image))
    keys = set(load_file(tmp_path / "views.safetensors"))
    save_model(NextDiT(CONFIG), tmp_path / "image.safetensors")
    new = {f"azimuth_embedder.mlp.{i}.{leaf}" for i in (0, 2) for leaf in ("weight", "bias")}
    assert keys - set(load_file(tmp_path / "image.safetensors")) == new
    assert isinstance(load_model(tmp_path / "image.safetensors"), NextDiT)


def test_damaged_files_are_named(tmp_path):
    save_model(make(), tmp_path / "views.safetensors")
    weights = load_file(tmp_path / "views.safetensors")
    save_file(weights, tmp_path / "bare.safetensors")
    assert load_model(tmp_path / "bare.safetensors").config.rope_axes == 2
    save_file(weights, tmp_path / "odd.safetensors", {"rope_axes": "4"})
    with pytest.raises(ValueError, match=r"odd.safetensors: its metadata has rope_axes '4', expected 2 or 3"):
        load_model(tmp_path / "odd.safetensors")
    del weights["azimuth_embedder.mlp.2.bias"]
    save_file(weights, tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match=r"cut.safetensors: .*azimuth_embedder.mlp.2.bias is missing"):
        load_model(tmp_path / "cut.safetensors")


def test_bad_inputs_are_named():
    model = make()
    x, t, azimuth, text, mask, image = inputs(3)
    with pytest.raises(ValueError, match=r"shape \(sets, views, channels, height, width\), got \(2, 4, 12, 8\)"):
        model(x[:, 0], t, azimuth, text, mask)
    with pytest.raises(ValueError, match=r"2 sets of 3 views need azimuths of shape \(2, 3\), got \(2, 2\)"):
        model(x, t, azimuth[:, :2], text, mask)
    with pytest.raises(ValueError, match="2 sets of views need 2 rows of time, got 1"):
        model(x, t[:1], azimuth, text, mask)
    with pytest.raises(ValueError, match="2 sets of views need 2 rows of text, got 6"):
        model(x, t, azimuth, text.repeat(3, 1, 1), mask)
    with pytest.raises(ValueError, match=r"shape of one view of each set, \(2, 4, 12, 8\), got \(2, 4, 8, 8\)"):
        model(x, t, azimuth, text, mask, image=image[..., :8, :])
    with pytest.raises(ValueError, match="latent has 3 channels, but this Next-DiT takes 4"):
        model(x[:, :, :3], t, azimuth, text, mask)
    with pytest.raises(ValueError, match="features are 20 wide, but this Next-DiT takes 40"):
        model(x, t, azimuth, text[..., :20], mask)
    with pytest.raises(ValueError, match=r"height, width\), got \(2, 3, 4, 1, 12, 8\)"):
        model(x[:, :, :, None], t, azimuth, text, mask)
    with pytest.raises(ValueError, match=r"latent is empty, \(6, 4, 0, 8\)"):
        model(x[..., :0, :], t, azimuth, text, mask)
    with pytest.raises(ValueError, match="rope_axes must be 2 .* or 3 .*, got 1"):
        MultiViewNextDiT(MultiViewConfig.of(CONFIG, 1))
    narrow = NextDiTConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=40)
    with pytest.raises(ValueError, match="3-D RoPE needs head_dim .* divisible by 6, got 16"):
        MultiViewNextDiT(MultiViewConfig.of(narrow, 3))


@torch.no_grad()
@pytest.mark.parametrize("patch_size", [2, 4])
def test_views_of_one_row_wrap_around(patch_size):
    config = NextDiTConfig(dim=96, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=40, patch_size=patch_size)
    x, t, azimuth, text, mask, image = inputs(2, size=(1, 3))
    model = randomise(MultiViewNextDiT(MultiViewConfig.of(config)))
    tall, tiled = ((tensor.repeat(*[1] * (tensor.ndim - 2), 4, 1)[..., :patch_size, :]) for tensor in (image, x))
    out = model(x, t, azimuth, text, mask, image=image)
    torch.testing.assert_close(out, model(tiled, t, azimuth, text, mask, image=tall)[..., :1, :])


@torch.no_grad()
def test_odd_sizes_and_half_weights():
    x, t, azimuth, text, mask, image = inputs(2, size=(11, 7))
    model = make()
    out = model(x, t, azimuth, text, mask, image=image)
    assert out.shape == x.shape
    assert model.bfloat16()(x, t, azimuth, text, mask, image=image).dtype is torch.float32
