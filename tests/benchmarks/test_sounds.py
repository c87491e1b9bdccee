"""The judge of sounds and its measures, on clips whose sounds can be told by their pitch."""

import sys
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lumina_next.benchmarks.sounds import generator, judge, sections
from lumina_next.benchmarks.sounds.hearing import BINS, N_FFT, SECONDS, filters, windows
from lumina_next.benchmarks.sounds.judge import FONTS, JUDGED, UNHEARD, Clips, Judge, vocoded
from lumina_next.benchmarks.sounds.measures import frechet, main_axes
from lumina_next.nextdit import RopeScaling
from lumina_next.nextdit.models.audio import FAMILY
from lumina_next.training.data.sounds import rendering
from lumina_next.training.data.sounds.captions import pair_is_held_out
from lumina_next.training.data.sounds.rendering import SAMPLE_RATE, TRAINING_FONTS, Font, render
from lumina_next.training.data.sounds.sounds import SOUNDS, Sound


class Synth:
    """Stands in for FluidSynth's: a key is a tone of its pitch, as long as it is held; program 13 is silent."""

    def __init__(self, samplerate, gain):
        self.rate, self.tone = samplerate, None

    def setting(self, name, value):
        assert (name, value) in {("synth.reverb.active", 0), ("synth.chorus.active", 0)}

    def sfload(self, file):
        return -1 if "broken" in file else 1

    def program_select(self, channel, font, bank, program):
        self.silent = program == 13
        assert channel == (9 if bank == 128 else 0)

    def noteon(self, channel, key, velocity):
        self.tone = 440 * 2 ** ((key - 69) / 12)

    def noteoff(self, channel, key):
        self.tone = None

    def system_reset(self):
        self.tone = None

    def get_samples(self, count):
        wave = (
            np.zeros(count)
            if self.tone is None or self.silent
            else np.sin(2 * np.pi * self.tone * np.arange(count) / self.rate)
        )
        return (wave * 9000).astype(np.int16).repeat(2)

    def delete(self):
        pass


@pytest.fixture
def synthesizer(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fluidsynth", SimpleNamespace(Synth=Synth))
    for font in (*TRAINING_FONTS, *FONTS):
        (tmp_path / font.file).touch()
    return [tmp_path]


class Pitch:
    """Stands in for the hearing: one feature for every 30 Hz, of which the loudest frequency's is 1."""

    def __call__(self, sound):
        loudest = np.abs(np.fft.rfft(sound, axis=-1)).argmax(-1) / SECONDS
        return torch.nn.functional.one_hot(torch.from_numpy(loudest / 30).long(), 512).float()


def tones(sounds, seconds=SECONDS):
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.stack([np.sin(2 * np.pi * (315 + 60 * n) * time) for n in sounds]).astype(np.float32)


def test_a_sound_has_its_length_and_peak_and_repeats(synthesizer):
    piano, drum = SOUNDS[0], next(sound for sound in SOUNDS if sound.is_drum)
    font = Font(synthesizer[0] / "FluidR3_GM.sf2")
    first, again, other = (font.play(piano, Random(seed)) for seed in (0, 0, 1))
    assert first.shape == (round(rendering.SECONDS * SAMPLE_RATE),) and np.abs(first).max() == pytest.approx(0.8)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert font.play(drum, Random(0))[-SAMPLE_RATE:].max() == 0
    silent = Sound("yodel", 0, 13, (60,), (0.1, 0.2), (0.1, 0.2))
    with pytest.raises(ValueError, match="no yodel on bank 0, program 13"):
        font.play(silent, Random(0))
    with pytest.raises(ValueError, match="no SoundFont"):
        Font(synthesizer[0] / "broken.sf2")


def test_fonts_share_what_they_both_have(synthesizer):
    clips = render(SOUNDS[:1] + SOUNDS[-1:], TRAINING_FONTS, 5, "a", synthesizer)
    assert [row.shape[0] for row in clips] == [5, 5]
    assert all(
        np.array_equal(a, b)
        for a, b in zip(clips, render(SOUNDS[:1] + SOUNDS[-1:], TRAINING_FONTS, 5, "a", synthesizer), strict=True)
    )
    assert not np.array_equal(clips[0], render(SOUNDS[:1], TRAINING_FONTS, 5, "b", synthesizer)[0])


def test_the_judge_shares_no_font_with_training():
    assert not {font.file for font in FONTS} & {font.file for font in TRAINING_FONTS}
    assert len(JUDGED) >= 30 and {SOUNDS[n].name for n in JUDGED} | set(UNHEARD) == {sound.name for sound in SOUNDS}
    assert all(any(font.has(sound) for font in FONTS) for sound in SOUNDS)


def test_clips_are_of_their_sound(synthesizer):
    clips = Clips(FONTS, 2, "a", synthesizer)
    sound, which = clips.every(JUDGED[:3], 2)
    assert sound.shape == (6, round(SECONDS * SAMPLE_RATE)) and which.tolist() == JUDGED[:3] * 2
    assert np.abs(sound).max() <= 1 and np.abs(sound).max(1).min() > 0.1
    assert not np.array_equal(sound[0], sound[3]) and np.array_equal(
        sound, Clips(FONTS, 2, "a", synthesizer).every(JUDGED[:3], 2)[0]
    )


def test_the_judge_learns_and_hears_every_window():
    sounds = JUDGED * 2
    taught = Judge(Pitch(), tones(sounds), torch.tensor(sounds))
    assert (taught(tones(JUDGED)) == torch.tensor(JUDGED)).all()
    assert (taught(tones(JUDGED, 2.5 * SECONDS)) == torch.tensor(JUDGED)).all()
    bench = SimpleNamespace(judge=taught)
    both = np.concatenate([tones(JUDGED[:4]), tones(JUDGED[4:8])], axis=1)
    assert [heard.tolist() for heard in sections.heard_halves(bench, both)] == [JUDGED[:4], JUDGED[4:8]]


def test_windows_are_whole():
    parts = windows(np.arange(2 * 70000).reshape(2, 70000))
    assert parts.shape == (2, 2, 32768) and parts[1, 1, 0] == 70000 + 32768


def test_filters_add_up_to_one_and_cover_the_spectrum():
    found = filters()
    assert found.shape == (N_FFT // 2 + 1, BINS) and found.min() >= 0
    torch.testing.assert_close(found.sum(0), torch.ones(BINS))
    assert (found.argmax(0).diff() >= 0).all() and 10 < found[:, 95].argmax() * 22.05 / 1024 < 22


def test_vocoded_sound_keeps_its_pitch():
    sound = tones([3, 9])
    back = vocoded(sound, iterations=4)
    assert back.shape == sound.shape
    peaks = np.abs(np.fft.rfft(back, axis=-1)).argmax(-1) / SECONDS
    assert peaks == pytest.approx([495, 855], rel=0.05)


def test_frechet_distance_is_that_of_normal_distributions():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(20000, 3, generator=generator)
    b = torch.randn(20000, 3, generator=generator) * torch.tensor([2.0, 1.0, 1.0]) + torch.tensor([0.0, 3.0, 0.0])
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, b) == pytest.approx(9 + 1, rel=0.05) == frechet(b, a)
    turned = torch.linalg.qr(torch.randn(5, 5, generator=generator))[0]
    wide = torch.randn(500, 5, generator=generator) * torch.tensor([9.0, 5.0, 0.1, 0.1, 0.1]) @ turned
    axes = main_axes(wide, 2)
    torch.testing.assert_close(axes.T @ axes, torch.eye(2))
    torch.testing.assert_close((axes @ axes.T) @ turned[:2].T, turned[:2].T, atol=0.02, rtol=0)


def test_pairs_are_the_same_every_time_and_held_out_or_not():
    for held in (False, True):
        pairs = sections.pairs_of(12, held)
        assert pairs == sections.pairs_of(12, held) and {pair_is_held_out(pair) for pair in pairs} == {held}
        assert all(set(pair) <= set(JUDGED) and len(set(pair)) == 2 for pair in pairs) and len(set(pairs)) == 12
    assert 12 < len(sections.pairs_of(10**6, True)) < len(sections.pairs_of(10**6, False)) / 5, "no more than there are"


def test_without_aisfx_the_judge_says_what_to_install(monkeypatch):
    monkeypatch.setattr("lumina_next.benchmarks.sounds.hearing.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps aisfx"):
        judge.Hearing()


class Network:
    """Stands in for a model that is measured, of which only the length of training counts here."""

    config = SimpleNamespace(train_tokens=128, train_frames=256)


def test_auto_is_measured_as_users_get_it():
    bench = generator.Generator.__new__(generator.Generator)
    bench.model = Network
    assert bench.stretched("ntk_aware", 2) == RopeScaling("ntk_aware", 2.0, 128)
    chosen = bench.stretched("auto", 2)
    assert chosen == RopeScaling("auto", 2.0, 128).resolved(FAMILY.native(Network.config))[0]
    assert generator.named("auto", chosen) == f"auto: {chosen.method}"
    assert generator.named("yarn", bench.stretched("yarn", 2)) == "yarn" and generator.named("x", None) == "x"


def test_longer_clips_are_compared_clip_by_clip_and_heard_half_by_half():
    """A sampler that makes what is asked for, but under `yarn` one sound of four is another and all fall silent."""
    asked = JUDGED[::10]

    def sample(prompts, frames, seed, rope):
        sound = tones(asked, SECONDS * (2 if rope is None else 4))
        assert len(prompts) == 4 and frames == (256 if rope is None else 512)
        if rope is not None and rope.method == "yarn":
            sound[0] = tones([JUDGED[1]], SECONDS * 4)
            sound[:, sound.shape[1] // 2 :] *= 1e-3
        return sound

    options = SimpleNamespace(thinned=10, longer=1, lengths=[2], methods=["extrapolation", "yarn"])
    bench = SimpleNamespace(options=options, sample=sample, frames=256)
    bench.stretched = lambda method, times: RopeScaling(method, times, 128)
    bench.judge = Judge(Pitch(), tones(JUDGED * 2), torch.tensor(JUDGED * 2))
    once, plain, yarn = sections.length(bench)
    assert [(row["times as long"], row["RoPE"]) for row in (once, plain, yarn)] == [
        (1, "–"), (2, "extrapolation"), (2, "yarn")
    ]  # fmt: skip
    assert once["both, %"]["value"] == plain["both, %"]["value"] == 100 and yarn["both, %"]["value"] == 75
    apart = yarn["both − plain's, points"]
    assert apart["value"] == -25 and apart["low"] < -60 and apart["n"] == 4
    assert plain["both − plain's, points"] == once["both − plain's, points"] == "–"
    assert (plain["second half, dB"], yarn["second half, dB"]) == ("+0.0", "-60.0")
    assert (plain["silent halves, %"], yarn["silent halves, %"]) == ("0.0", "50.0")
