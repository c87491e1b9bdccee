"""`pipelines.video`: clips from text, from given frames and from clips, written as files and read again."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lumina_next.demo import TEXT_ENCODER
from lumina_next.nextdit import RopeScaling, load_text_encoder
from lumina_next.nextdit.layers.rope_scaling import scale_factor
from lumina_next.pipelines import Clip, Models, Picture, Sampling, VideoRequest, read_clip, video
from lumina_next.pipelines.video import clip_scaling, sample_clips
from lumina_next.tests.support import untrained_video

FAST = Sampling(2, "uniform", cfg=2.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    file = tmp_path_factory.mktemp("video") / "video.safetensors"
    untrained_video.write(file)
    return Models(file, dtype=torch.float32)


def pixels(clip: Clip) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in clip.frames]).astype(np.float32)


def far(a, b) -> float:
    return float(np.abs(a - b).mean())


def test_a_prompt_becomes_a_clip_as_in_training_or_as_asked_for(models):
    clip = video(VideoRequest("dog face moving left", sampling=FAST), models)
    assert pixels(clip).shape == (8, 32, 32, 3) and clip.fps == 8.0
    assert clip.parameters["prompt"] == "dog face moving left" and clip.frames[3].parameters["frame"] == 3
    assert np.array_equal(pixels(clip), pixels(video(VideoRequest("dog face moving left", sampling=FAST), models)))
    other = video(VideoRequest("rocket turning", frames=5, width=50, height=22, seed=1, sampling=FAST), models)
    assert pixels(other).shape == (5, 22, 50, 3)
    progress = []
    video(VideoRequest("x", frames=2, sampling=FAST), models, lambda *done: progress.append(done))
    assert progress == [(0, 2), (1, 2), (2, 2)]


def test_first_and_last_frame_are_the_images(models):
    first, last = Image.new("RGB", (64, 48), "red"), Image.new("RGBA", (32, 32), (0, 0, 255, 255))
    clip = pixels(video(VideoRequest(image=first, last_image=last, frames=6, sampling=FAST), models))
    assert far(clip[0], np.array([255, 0, 0])) < 1 and far(clip[-1], np.array([0, 0, 255])) < 1
    assert all(far(frame, clip[0]) > 12 and far(frame, clip[-1]) > 12 for frame in clip[1:-1])


def test_a_clip_is_drawn_anew_by_as_much_as_is_said(models):
    before = video(VideoRequest("dog face moving left", frames=4, sampling=FAST), models)
    changes = []
    for denoise in (0.05, 0.5, 1.0):
        request = VideoRequest(clip=before.frames, denoise=denoise, seed=3, sampling=Sampling(4, "uniform", cfg=1.0))
        changes.append(far(pixels(video(request, models)), pixels(before)))
    assert changes[0] < 0.3 * changes[2] and changes[0] < changes[1] < changes[2]


def test_longer_and_larger_clips_are_scaled_on_their_own_axes(models):
    rope = clip_scaling(RopeScaling("interpolation"), (8, 8), 16, 8, 8)
    assert (rope.factor, rope.frames) == (1.0, 2.0)
    rope = clip_scaling(RopeScaling("interpolation"), (16, 8), 4, 8, 8)
    assert (rope.factor, rope.frames) == (scale_factor((16, 8), 8), 1.0)
    clips = {
        method: pixels(video(VideoRequest("x", frames=12, sampling=FAST, rope=RopeScaling(method)), models)).tobytes()
        for method in ("extrapolation", "interpolation", "time_aware", "time_aware_late", "auto")
    }
    assert clips["auto"] == clips["time_aware_late"]  # and of interpolation, with steps as few, as rounding is
    assert len({clips[method] for method in ("extrapolation", "interpolation", "time_aware")}) == 3
    short = [pixels(video(VideoRequest("x", sampling=FAST, rope=RopeScaling(m)), models)) for m in ("auto", "yarn")]
    assert np.array_equal(*short)


def test_a_window_is_the_clip_where_it_holds_it(models):
    whole, wide, near = (
        pixels(video(VideoRequest("x", frames=6, window=window, sampling=FAST), models)) for window in (None, 6, 3)
    )
    assert np.array_equal(whole, wide) and far(whole, near) > 0.5


def test_both_halves_of_the_guidance_see_the_given_frames(models):
    encoder = load_text_encoder(TEXT_ENCODER, dtype=torch.float32)
    network = models.network("video")
    x = torch.randn(1, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    given = torch.tensor([True, False, False, False])
    made = sample_clips(network, encoder, ["dog"], x, Sampling(1, "uniform", cfg=3.0), given=given)
    with torch.no_grad():
        texts = [encoder([text]) for text in ("dog", "")]
        on, off = (network(x, torch.zeros(1), text, mask, given=given) for text, mask in texts)
    torch.testing.assert_close(made, x + off + 3.0 * (on - off), atol=1e-4, rtol=1e-4)
    assert torch.equal(made[:, :, 0], x[:, :, 0])


@pytest.mark.parametrize("name, exact", [("a.webp", 0), ("a.gif", 6), ("a.mp4", 10)])
def test_files_hold_every_frame_the_rate_and_what_made_them(tmp_path, name, exact):
    shades = np.linspace(20, 230, 5, dtype=np.uint8)
    frames = [Picture.of(torch.full((3, 31, 33), float(shade) / 127.5 - 1), {"prompt": "x"}) for shade in shades]
    clip = Clip(frames, 10.0, {"prompt": "dög", "seed": 3})
    clip.save(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    read, fps = read_clip(tmp_path / name)
    assert len(read) == 5 and fps == 10.0
    for frame, shade in zip(read, shades, strict=True):
        inner = np.asarray(frame)[:31, :33].astype(float)
        assert inner.shape == (31, 33, 3) and np.abs(inner - shade).max() <= exact
    if name.endswith("mp4"):
        import av

        with av.open(str(tmp_path / name)) as container:
            told = container.metadata["comment"]
    else:
        with Image.open(tmp_path / name) as image:
            told = image.info["comment"].decode() if name.endswith("gif") else image.getexif()[0x010E]
    assert json.loads(told) == {"prompt": "dög", "seed": 3}


def test_wrong_input_is_an_error_that_helps(models, tmp_path):
    image = Image.new("RGB", (8, 8))
    for words, message in (
        ({}, "give prompt, image or clip: there is nothing to show"),
        ({"prompt": "x", "frames": 0}, "frames must be a whole number, at least 1, got 0"),
        ({"prompt": "x", "window": -1}, "window must be a whole number, at least 1, got -1"),
        ({"prompt": "x", "fps": 0.0}, "fps must be above 0, got 0.0"),
        ({"prompt": "x", "denoise": 0.5}, "denoise needs a clip to start from"),
        ({"clip": [image], "denoise": 1.5}, "denoise must be above 0 and at most 1, got 1.5"),
        ({"clip": [image], "frames": 3}, "frames is 3, but the clip has 1: leave it out"),
        ({"image": image, "last_image": image, "frames": 2}, "no frame is left to draw: ask for more"),
        ({"image": "x.png"}, "image must be a PIL image"),
    ):
        with pytest.raises(ValueError, match=message):
            VideoRequest(**words)
    with pytest.raises(ValueError, match="must end in .mp4, .webp, .gif, got"):
        Clip([], 8.0, {}).save(tmp_path / "a.avi")
    with pytest.raises(ValueError, match="text-to-image"):
        video(VideoRequest("x"), Models())
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="has no frames that can be read"):
        read_clip(tmp_path / "broken.mp4")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_clip(tmp_path / "none.mp4")
