"""The video model: the image model's picture for one frame, its own clip for many, strict about its inputs."""

import pytest
import torch

from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig, RopeScaling, VideoNextDiT, load_model, save_model
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.models.video import VideoConfig, near_frames, places_of
from lumina_next.nextdit.train_size import train_frames
from lumina_next.tests.nextdit.conftest import randomise

CONFIG = NextDiTConfig(dim=96, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=40)
WIDTHS = [0, 12, 24]


def make(frame_width=12, seed=0) -> VideoNextDiT:
    return randomise(VideoNextDiT(VideoConfig.of(CONFIG, frame_width)), seed)


def inputs(frames, clips=2, size=(12, 8), seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, CONFIG.in_channels, frames, *size, generator=g)
    text = torch.randn(clips, 7, CONFIG.text_dim, generator=g)
    mask = torch.arange(7)[None] < torch.tensor([7, 3, 1])[:clips, None]
    return x, torch.linspace(0.1, 0.8, clips), text, mask


@torch.no_grad()
@pytest.mark.parametrize("frame_width", WIDTHS)
@pytest.mark.parametrize("frames", [1, 2, 5, 17])
def test_any_number_of_frames_and_any_size(frame_width, frames):
    model = make(frame_width)
    for size in ((12, 8), (7, 13)):
        x, t, text, mask = inputs(frames, size=size)
        out = model(x, t, text, mask)
        assert out.shape == x.shape and out.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("rope", [None, RopeScaling("time_aware", 2.0, train_tokens=8, proportional=True)])
@pytest.mark.parametrize("drop", [None, ContextDrop(fade="none")])
def test_one_frame_of_an_initialised_model_is_the_image_models_picture(rope, drop):
    image_model = randomise(NextDiT(CONFIG))
    model = VideoNextDiT.from_image_model(image_model)
    x, t, text, mask = inputs(1)
    out = model(x, t, text, mask, rope=rope, drop=drop)
    assert torch.equal(out[:, :, 0], image_model(x[:, :, 0], t, text, mask, rope=rope, drop=drop))
    assert not model.training and model.layers[0].attention.wq.weight is not image_model.layers[0].attention.wq.weight


@torch.no_grad()
@pytest.mark.parametrize("frame_width", WIDTHS)
def test_the_order_of_frames_counts_and_every_frame_sees_every_other(frame_width):
    model = VideoNextDiT.from_image_model(randomise(NextDiT(CONFIG)), frame_width=frame_width)  # places do nothing
    x, t, text, mask = inputs(4)
    out = model(x, t, text, mask)
    swapped = x[:, :, [1, 0, 2, 3]]
    moved = model(swapped, t, text, mask)[:, :, [1, 0, 2, 3]]
    assert ((moved - out).abs().amax((0, 1, 3, 4)) > 1e-4).all()  # each frame has other distances to its neighbours
    for i in range(4):
        changed = x.clone()
        changed[:, :, i] += 1
        assert ((model(changed, t, text, mask) - out).abs().amax((0, 1, 3, 4)) > 1e-4).all()


@torch.no_grad()
def test_only_distances_in_time_count_without_text_and_trained_places():
    x, t, text, mask = inputs(5)
    model = VideoNextDiT.from_image_model(randomise(NextDiT(CONFIG)))
    for layer in model.layers:
        layer.attention.gate.norm.weight.zero_()  # queries of the text are rotated, too, and its keys are not

    def at(model, *positions):
        call = Call(frame_positions=torch.tensor(positions))
        return model.velocity(x, t, text, mask, call)

    plain = at(model, 0, 1, 2, 3, 4)
    torch.testing.assert_close(at(model, 7, 8, 9, 10, 11), plain, rtol=0, atol=2e-4)
    assert (at(model, 0, 2, 4, 6, 8) - plain).abs().max() > 1e-3
    assert torch.equal(plain, model(x, t, text, mask))


@torch.no_grad()
def test_trained_places_tell_a_clip_from_its_parts():
    model = make()
    x, t, text, mask = inputs(4)
    model.frame_embedder.mlp[2].weight.zero_()
    model.frame_embedder.mlp[2].bias.zero_()
    without = model(x, t, text, mask)
    assert (make()(x, t, text, mask) - without).abs().max() > 1e-3
    assert places_of(5, torch.device("cpu")).tolist() == [0, 0.25, 0.5, 0.75, 1] and places_of(1, t.device) == 0


@torch.no_grad()
@pytest.mark.parametrize("given", [(0,), (0, 5), (2, 3)])
def test_given_frames_stand_still_and_the_others_see_them_as_clean(given):
    model, (x, t, text, mask) = make(), inputs(6)
    known = torch.zeros(6, dtype=torch.bool)
    known[list(given)] = True
    out, plain = model(x, t, text, mask, given=known), model(x, t, text, mask)
    assert (out[:, :, known] == 0).all()
    assert (out[:, :, ~known] - plain[:, :, ~known]).abs().max() > 1e-3
    assert torch.equal(out, model(x, t, text, mask, given=known.expand(2, -1)))
    assert torch.equal(plain, model(x, t, text, mask, given=torch.zeros(6)))
    # t = 1 is what a clean frame has
    last = model(x, torch.ones(2), text, mask)
    assert torch.equal(model(x, torch.ones(2), text, mask, given=known)[:, :, ~known], last[:, :, ~known])


@torch.no_grad()
def test_each_clip_of_a_batch_may_have_other_frames_given():
    model, (x, t, text, mask) = make(), inputs(3)
    known = torch.tensor([[True, False, False], [False, True, True]])
    out = model(x, t, text, mask, given=known)
    for i in range(2):
        alone = model(x[i : i + 1], t[i : i + 1], text[i : i + 1], mask[i : i + 1], given=known[i])
        torch.testing.assert_close(out[i : i + 1], alone, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("frame_width", WIDTHS)
def test_a_window_that_holds_the_clip_is_the_whole_clip(frame_width):
    model, (x, t, text, mask) = make(frame_width), inputs(6)
    out = model(x, t, text, mask)
    for window in (6, 7, 100):
        assert torch.equal(model(x, t, text, mask, window=window), out)
    assert (model(x, t, text, mask, window=3) - out).abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_a_window_is_attention_under_a_mask_of_the_nearest_frames(window):
    frames, tokens = 5, 3
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2 * frames, heads, tokens, 8, generator=g) for heads in (4, 2, 2))
    text_k, text_v = (torch.randn(2, 2, 7, 8, generator=g) for _ in range(2))
    attend = near_frames(sdpa, frames, window)
    first = [min(max(i - window // 2, 0), frames - window) for i in range(frames)]
    seen = torch.tensor([[f <= j < f + window for j in range(frames)] for f in first])

    def joined(x):
        return x.unflatten(0, (2, frames)).transpose(1, 2).flatten(2, 3)

    allowed = torch.where(seen.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1), 0.0, float("-inf"))
    expected = sdpa(joined(q), joined(k), joined(v), allowed[None, None])
    torch.testing.assert_close(joined(attend(q, k, v)), expected)
    torch.testing.assert_close(joined(attend(q, text_k, text_v)), sdpa(joined(q), text_k, text_v))


@torch.no_grad()
@pytest.mark.parametrize("frame_width", WIDTHS)
@pytest.mark.parametrize("method", ["interpolation", "ntk_aware", "time_aware", "time_aware_late", "yarn"])
def test_rope_is_stretched_along_time_alone(frame_width, method):
    model, (x, t, text, mask) = make(frame_width), inputs(16)
    longer = RopeScaling(method, train_tokens=8, frames=2.0)
    out, plain = model(x, t, text, mask, rope=longer), model(x, t, text, mask)
    assert (out - plain).abs().max() > 1e-4
    axes = model.axes
    scaled, unscaled = longer.thetas(axes, t, 1), RopeScaling("extrapolation").thetas(axes, t, 1)
    for i in (1, 2):
        assert torch.equal(scaled[i].expand(2, -1), unscaled[i].expand(2, -1))
    if method == "interpolation":
        torch.testing.assert_close(2 * scaled[0], unscaled[0])
        half = model.velocity(x, t, text, mask, Call(frame_positions=torch.arange(16) / 2))
        torch.testing.assert_close(out, half, rtol=0, atol=1e-4)
    short = RopeScaling(method, train_tokens=8, frames=1.0)
    assert torch.equal(model(x, t, text, mask, rope=short), plain)


def test_a_file_keeps_the_architecture_and_says_what_is_missing(tmp_path):
    for width in WIDTHS:
        model = make(width)
        save_model(model, tmp_path / "video.safetensors", {"train_frames": "8"})
        loaded = load_model(tmp_path / "video.safetensors")
        assert isinstance(loaded, VideoNextDiT) and loaded.config == model.config
        x, t, text, mask = inputs(3)
        with torch.no_grad():
            assert torch.equal(loaded(x, t, text, mask), model(x, t, text, mask))
    with pytest.raises(ValueError, match="its metadata has frame_width 'wide', expected a whole number"):
        VideoConfig.infer({}, {"frame_width": "wide"})


def test_wrong_input_is_an_error_that_helps():
    model, (x, t, text, mask) = make(), inputs(3)
    with pytest.raises(ValueError, match="takes 5: batch, channels, frames, height, width; start from an empty"):
        model(x[:, :, 0], t, text, mask)
    with pytest.raises(ValueError, match="at least one frame"):
        model(x[:, :, :0], t, text, mask)
    with pytest.raises(ValueError, match="2 clips need 2 rows of time, got 1"):
        model(x, t[:1], text, mask)
    with pytest.raises(ValueError, match=r"need `given` of shape \(3,\) or \(2, 3\), got \(4,\)"):
        model(x, t, text, mask, given=torch.zeros(4))
    with pytest.raises(ValueError, match="a window holds at least 1 frame, got 0"):
        model(x, t, text, mask, window=0)
    with pytest.raises(ValueError, match="frame_width must be even and at most head_dim"):
        VideoConfig.of(CONFIG, 26)
    with pytest.raises(ValueError, match="three equal parts needs head_dim .* divisible by 6, got 16: give a"):
        VideoConfig.of(NextDiTConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=40), 0)
    with pytest.raises(ValueError, match="train_frames must be at least 7"):
        RopeScaling("interpolation", frames=2.0, train_frames=4)


def test_the_frames_of_training_are_a_whole_number_or_not_said():
    assert train_frames({"train_frames": "8"}) == 8 and train_frames({}) is None and train_frames(None) is None
    for text in ("eight", "0", "-1", "8.0"):
        with pytest.raises(ValueError, match="train_frames = .*; expected a whole number of frames, 1 or more: write"):
            train_frames({"train_frames": text})
