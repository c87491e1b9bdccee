"""Sounds and clips with a prompt for each part of the time."""

import pytest
import torch

from lumina_next.nextdit import RopeScaling
from lumina_next.nextdit.captions import in_parts
from lumina_next.pipelines import AudioRequest, Models, Sampling, VideoRequest, audio, frames, timed, video
from lumina_next.pipelines.video import sample_clips
from lumina_next.tests.pipelines.test_audio import RATE, make
from lumina_next.tests.support import untrained_video
from lumina_next.tests.support.untrained_audio import write_released, write_spectra


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return Models(write_spectra(tmp_path_factory.mktemp("audio") / "sounds.safetensors"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_released(tmp_path_factory.mktemp("Lumina-T2Audio"))


def test_several_sounds_have_a_part_of_the_time_each(models, released):
    """By default of models without encoders of their own; each part is then that of its own prompt."""
    both = "a dog bark, then a church bell"
    sound, whole = make(models, both), make(models, both, in_order=False)
    assert sound.parameters["in_order"] and not whole.parameters["in_order"]
    assert not torch.equal(sound.samples, whole.samples)
    assert torch.equal(make(models, both, in_order=True).samples, sound.samples)
    assert torch.equal(make(models, "a dog bark", in_order=True).samples, make(models).samples)
    assert not make(Models(released), both).parameters["in_order"]
    assert make(Models(released), both, in_order=True).parameters["in_order"]
    short = make(models, "<rain& start>@<gong& mid>@<dog& end>", seconds=0.2)
    assert len(short.samples) == RATE // 5 and short.samples.isfinite().all()


def test_parts_that_are_sounds_of_their_own_all_along(models, monkeypatch):
    """The oracle is each sound alone, from the same noise."""
    monkeypatch.setattr(timed, "AREAS_UNTIL", 1.0)
    parts = in_parts("rain, then a gong")
    network, encoder = models.network("audio"), models.encoder()
    plain = Sampling(3, "uniform", cfg=1.0)
    made = frames.sample_frames(network, encoder, ["rain"], [5], 64, plain, parts=[parts])
    noise = frames.frame_noise([5], 80, 64)
    for part, place in zip(parts, (slice(0, 32), slice(32, 64)), strict=True):
        monkeypatch.setattr(frames, "frame_noise", lambda *_, place=place: noise[..., place].contiguous())
        alone = frames.sample_frames(network, encoder, [part.prompt], [5], 32, plain)
        torch.testing.assert_close(made[..., place], alone, atol=1e-4, rtol=1e-4)


def test_the_sounds_of_one_batch_have_their_parts_at_the_same_times(models):
    network = models.network("audio")
    rows = [in_parts("rain, then a gong"), in_parts("rain, then a gong, then a dog")]
    with pytest.raises(ValueError, match="needs the same parts of the time"):
        timed.TimedText.of(models.encoder(), ["a", "b"], rows, (64,), network.proj_in.weight)


def test_a_longer_sound_of_several_scales_each_part_by_its_own_length(models):
    """Of twice the length of training in two parts, each part is as long as in training, and nothing is scaled."""
    prompt, options = "rain, then a gong", {"seconds": 8.192, "sampling": Sampling(1, "uniform", cfg=1.0)}
    sounds = [
        audio(AudioRequest(prompt, rope=RopeScaling(method), **options), models).samples
        for method in ("interpolation", "extrapolation")
    ]
    assert torch.equal(*sounds)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    file = tmp_path_factory.mktemp("video") / "video.safetensors"
    untrained_video.write(file)
    return Models(file, dtype=torch.float32)


def test_prompts_of_a_clip_follow_one_another(clips):
    """The first half of two prompts is that of the first one alone, as long as each is a clip of its own."""
    fast = {"sampling": Sampling(2, "uniform", cfg=2.0), "frames": 6}
    both = video(VideoRequest("dog face growing", then=["dog face shrinking"], **fast), clips)
    one = video(VideoRequest("dog face growing", **fast), clips)
    assert both.parameters["then"] == ["dog face shrinking"] and one.parameters["then"] == []
    assert [a.tobytes() != b.tobytes() for a, b in zip(both.frames, one.frames, strict=True)] == [True] * 6
    for wrong in ({"then": "dog"}, {"then": [3]}):
        with pytest.raises(ValueError, match="then must be"):
            VideoRequest("dog", **wrong)


def test_parts_that_are_clips_of_their_own_all_along(clips, monkeypatch):
    monkeypatch.setattr(timed, "AREAS_UNTIL", 1.0)
    network, encoder = clips.network("video"), clips.encoder()
    x = torch.randn(1, 3, 6, 16, 16, generator=torch.Generator().manual_seed(1))
    plain, given = Sampling(2, "uniform", cfg=1.0), torch.arange(6) == 0
    parts = timed.even_parts(["dog face growing", "dog face shrinking"])
    made = sample_clips(network, encoder, ["dog face"], x, plain, parts=[parts], given=given)
    for part, place in zip(parts, (slice(0, 3), slice(3, 6)), strict=True):
        known = given[place] if given[place].any() else None
        alone = sample_clips(network, encoder, [part.prompt], x[:, :, place], plain, given=known)
        torch.testing.assert_close(made[:, :, place], alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made[:, :, 0], x[:, :, 0])


def test_parts_of_a_clip_modulate_their_frames(clips, monkeypatch):
    """With attention alone, the same prompt for both halves is that prompt, and two differ on both sides."""
    monkeypatch.setattr(timed, "AREAS_UNTIL", 0.0)
    network, encoder = clips.network("video"), clips.encoder()
    x = torch.randn(1, 3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    plain, text = Sampling(2, "uniform", cfg=2.0), "dog face growing"
    alone = sample_clips(network, encoder, [text], x, plain)
    same = sample_clips(network, encoder, ["rocket"], x, plain, parts=[timed.even_parts([text, text])])
    torch.testing.assert_close(same, alone, atol=1e-4, rtol=1e-4)
