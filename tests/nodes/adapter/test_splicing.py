"""Splice Audio: a stretch of one sound in another, of any rate, channels and loudness."""

import pytest
import torch

from lumina_next.nextdit.encoders.audio.splice import splice
from lumina_next.nodes.adapter.audio.splicing import splice_audio
from lumina_next.nodes.audio.splice_audio import SpliceAudio


def tone(hertz: float, seconds: float = 2.0, rate: int = 16000, channels: int = 1, level: float = 0.1, batch: int = 1):
    time = torch.arange(round(seconds * rate)) / rate
    return {"waveform": level * torch.sin(2 * torch.pi * hertz * time).expand(batch, channels, -1), "sample_rate": rate}


def test_samples_are_those_of_one_or_the_other_but_for_the_fades():
    own, made = torch.zeros(1600), torch.ones(1600)
    joined = splice(own, made, 1000, 0.5, 1.0, fade=0.02)
    assert joined.shape == own.shape and not joined[:490].any() and not joined[1011:].any()
    assert (joined[511:989] == 1).all() and (joined[490:510].diff() > 0).all()
    assert (splice(own, made, 1000, 0.0, 1.6) == 1).all(), "no fade at the ends of a sound"
    assert splice(own, made, 1000, 0.5, 1.0, fade=0.0).sum() == pytest.approx(500, abs=1)


def test_a_stretch_past_the_end_makes_the_sound_longer():
    joined = splice(torch.zeros(2, 1000), torch.ones(1, 3000), 1000, 0.9, 2.5)
    assert joined.shape == (2, 2500) and (joined[:, 910:] == 1).all() and not joined[:, :890].any()
    assert splice(torch.zeros(1000), torch.ones(3000), 1000, 0.5, 0.7).shape == (1000,)


@pytest.mark.parametrize("rate, channels, batch", [(44100, 2, 1), (16000, 1, 3), (8000, 2, 1)])
def test_the_original_keeps_its_rate_channels_and_samples(rate, channels, batch):
    own = tone(440, rate=rate, channels=channels)
    joined, told = splice_audio(own, tone(660, batch=batch), 0.5, 1.0)
    assert joined["sample_rate"] == rate and joined["waveform"].shape == (batch, channels, 2 * rate)
    assert told == "0.50 to 1.00 s of 2.00 s are from the changed sound"
    change = (joined["waveform"] - own["waveform"]).abs()
    assert change[..., : round(0.49 * rate)].max() == 0 == change[..., round(1.01 * rate) :].max()
    assert change[..., round(0.6 * rate) : round(0.9 * rate)].mean() > 0.03
    inside = joined["waveform"][..., round(0.6 * rate) : round(0.9 * rate)]
    assert float(inside.std()) == pytest.approx(0.1 / 2**0.5, rel=0.05)


def test_stereo_into_mono_is_mixed():
    stereo = {"waveform": torch.stack([torch.ones(1, 100), torch.zeros(1, 100)], 1), "sample_rate": 100}
    joined, _ = splice_audio({"waveform": torch.zeros(1, 1, 100), "sample_rate": 100}, stereo, 0.2, 0.8)
    assert joined["waveform"][0, 0, 50] == 0.5


def test_what_core_made_quieter_is_as_loud_again_and_nothing_else_is():
    own, quiet = tone(440, level=0.4), tone(440, level=0.2)
    joined = splice_audio(own, quiet, 0.5, 1.0)[0]["waveform"]
    torch.testing.assert_close(joined, own["waveform"], atol=1e-3, rtol=0)
    louder = splice_audio(tone(440, level=0.1), own, 0.5, 1.0)[0]["waveform"]
    assert louder[..., 9000:15000].abs().max() == pytest.approx(0.4, abs=0.01)
    silent = {"waveform": torch.zeros(1, 1, 32000), "sample_rate": 16000}
    assert splice_audio(silent, own, 0.5, 1.0)[0]["waveform"].abs().max() == pytest.approx(0.4, abs=0.01)
    assert splice_audio(own, own, 0.0, 0.0)[0]["waveform"].shape == (1, 1, 32000)


def test_stretches_with_nothing_in_them_are_refused():
    own = tone(440)
    with pytest.raises(ValueError, match="start is 2 s, but the changed sound is 2.00 s long"):
        SpliceAudio.execute(own, own, 2.0, 0.0, 0.01)
    with pytest.raises(ValueError, match="end is 1 s, not after start, 1 s"):
        SpliceAudio.execute(own, own, 1.0, 1.0, 0.01)
    for start, end, name in (
        (-1.0, 1.0, "start"),
        (0.5, -1.0, "end"),
        (float("nan"), 1.0, "start"),
        (0.0, 1e999, "end"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be a time in seconds, 0 or more, got"):
            SpliceAudio.execute(own, own, start, end, 0.01)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("name", ["original", "changed"])
def test_a_sound_without_samples_is_named(name, rate):
    for nothing in (None, tone(440, 0.0, rate), tone(440, batch=1) | {"waveform": torch.zeros(0, 1, 9000)}):
        with pytest.raises(ValueError, match=f"{name} has no sound in it"):
            SpliceAudio.execute(**{"original": tone(440), "changed": tone(440), name: nothing}, start=0, end=0, fade=0)


def test_each_of_a_batch_is_kept_and_what_is_fewer_is_repeated():
    own = {"waveform": torch.stack([torch.full((1, 1000), 0.1 * n) for n in (1, 2)]), "sample_rate": 1000}
    made = {"waveform": torch.stack([torch.full((1, 1000), 0.1 * n) for n in (1, 2, 3)]), "sample_rate": 1000}
    joined = splice_audio(own, made, 0.4, 0.6)[0]["waveform"]
    assert joined[:, 0, 100].tolist() == pytest.approx([0.1, 0.2, 0.1])
    assert joined[:, 0, 500].tolist() == pytest.approx([0.1, 0.2, 0.3], rel=0.4)


def test_sounds_of_other_kinds_of_numbers_and_devices_meet():
    own, made = tone(440), tone(660)
    made["waveform"] = made["waveform"].half()
    joined = splice_audio(own, made, 0.5, 1.0)[0]["waveform"]
    assert joined.dtype == torch.float32 and (joined - own["waveform"])[..., 9000:15000].abs().mean() > 0.03
    there = {"waveform": torch.zeros(1, 1, 16000, device="meta"), "sample_rate": 16000}
    assert splice(there["waveform"], tone(440, 1.0)["waveform"], 16000, 0.2, 0.5).device.type == "meta"
