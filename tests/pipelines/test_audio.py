"""`pipelines.audio`: sounds from text and from sounds, of our own models and the released ones, as files."""

import json
import struct
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from lumina_next.nextdit import RopeScaling
from lumina_next.pipelines import AudioRequest, Models, Sampling, Sound, audio, read_sound
from lumina_next.pipelines.audio import scaling
from lumina_next.pipelines.sounds import SUFFIXES, resampled
from lumina_next.tests.support.untrained_audio import MUSIC, SPECTRA, write_released, write_spectra

FAST = Sampling(2, "uniform", cfg=2.0)
RATE = 16000


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return Models(write_spectra(tmp_path_factory.mktemp("audio") / "sounds.safetensors"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_released(tmp_path_factory.mktemp("Lumina-T2Audio"))


def make(models, prompt="a dog bark", **options) -> Sound:
    return audio(AudioRequest(prompt, sampling=FAST, **options), models)


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE, level: float = 0.3) -> Sound:
    time = torch.arange(round(seconds * rate)) / rate
    return Sound(level * torch.sin(2 * torch.pi * hertz * time), rate, {"prompt": "a tone"})


def pitch(sound: Sound) -> float:
    """The loudest frequency in hertz."""
    power = np.abs(np.fft.rfft(sound.samples.numpy() * np.hanning(len(sound.samples))))
    return float(power.argmax() * sound.rate / len(sound.samples))


def test_a_prompt_becomes_sound_as_long_as_in_training_or_as_asked_for(models):
    sound = make(models)
    assert sound.samples.shape == (256 * 256,) and sound.rate == RATE and sound.samples.std() > 1e-3
    assert sound.samples.abs().max() <= 1 and sound.parameters["prompt"] == "a dog bark"
    assert torch.equal(sound.samples, make(models).samples)
    assert all(not torch.equal(sound.samples, make(models, **o).samples) for o in ({"seed": 1}, {"negative": "rain"}))
    progress = []
    exact = audio(AudioRequest("x", seconds=0.5, sampling=FAST), models, lambda *done: progress.append(done))
    assert len(exact.samples) == RATE // 2 and progress == [(0, 2), (1, 2), (2, 2)]
    assert len(make(models, seconds=0.001).samples) == 16
    with pytest.raises(ValueError, match="seconds is 1e-09, less than one of 16000 samples a second"):
        make(models, seconds=1e-9)


def test_longer_sounds_are_stretched(models):
    assert scaling(RopeScaling("auto"), models, 256) is None
    rope = scaling(RopeScaling("interpolation"), models, 511)
    assert (rope.factor, rope.train_tokens) == (2.0, 128)
    sounds = {make(models, seconds=6, rope=RopeScaling(m)).samples.numpy().tobytes() for m in ("auto", "extrapolation")}
    assert len(sounds) == 2


def test_a_sound_is_varied_by_as_much_as_is_said(models, tmp_path):
    before = tone(440, 1.0)
    before.save(tmp_path / "a.flac")
    whole = Sampling(4, "uniform", cfg=1.0)

    def spectrum(sound: Sound) -> np.ndarray:
        return np.asarray(sound.picture()).astype(float)

    changes = []
    for denoise in (0.02, 0.5, 1.0):
        request = AudioRequest(sound=tmp_path / "a.flac", denoise=denoise, seed=3, sampling=whole)
        changes.append(np.abs(spectrum(audio(request, models)) - spectrum(before)).mean())
    assert changes[0] < 0.5 * changes[2] and changes[0] < changes[1] < changes[2]
    assert audio(request, models).parameters["sound"] == "a.flac"


def test_only_a_stretch_is_made_anew(models):
    before = tone(440, 2.0)
    after = make(models, sound=before, stretch=(0.5, 1.0))
    assert after.parameters["denoise"] == 1.0 and len(after.samples) == 2 * RATE
    change = (after.samples - before.samples).abs()
    assert change[: RATE // 2 - 100].max() == change[RATE + 100 :].max() == 0
    assert change[RATE // 2 + 1000 : RATE - 1000].mean() > 1e-3
    assert make(models, sound=before, stretch=(1.5, 99)).samples.shape == (2 * RATE,)


def test_a_longer_sound_goes_on_where_the_given_one_ends(models):
    before = tone(440, 1.0, rate=8000)
    after = make(models, sound=before, seconds=1.5)
    assert after.parameters["stretch"] == (1.0, 1.5) and after.samples.shape == (RATE * 3 // 2,)
    assert torch.equal(after.samples[: RATE - 100], resampled(before.samples, 8000, RATE)[: RATE - 100])
    assert after.samples[RATE + 500 :].std() > 1e-3


def test_the_released_models_bring_their_parts(released):
    models = Models(released)
    sound = make(models, "birds chirping then thunder", seconds=1.0)
    assert sound.samples.shape == (RATE,) and sound.parameters["text_encoder"] == "its own"
    rough = make(models, "birds chirping then thunder", seconds=1.0, vocoder="griffin_lim")
    assert not torch.equal(rough.samples, sound.samples)
    other = make(models, "rain", seconds=1.0, vocoder="griffin_lim")
    assert not torch.equal(rough.samples, other.samples)
    assert make(models, sound=tone(440, 1.0, rate=44100), stretch=(0.2, 0.4)).samples.shape == (RATE,)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_hold_the_sound_its_rate_and_what_made_it(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    sound = Sound(tone(440).samples, RATE, {"prompt": "dög", "seed": 3})
    sound.save(file)
    assert [found.name for found in tmp_path.iterdir()] == [file.name]
    read = read_sound(file)
    assert read.rate == (48000 if suffix in (".opus", ".ogg") else RATE)  # what Opus decodes to
    assert read.seconds == pytest.approx(1.0, abs=0.15) and pitch(read) == pytest.approx(440, abs=3)
    assert read.samples.std() == pytest.approx(float(sound.samples.std()), rel=0.1)
    if suffix in (".wav", ".flac"):
        assert (read.samples - sound.samples).abs().max() < 1e-4 and len(read.samples) == RATE
    with av.open(str(file)) as container:
        told = dict(container.metadata) | dict(container.streams.audio[0].metadata)
    assert json.loads(next(value for key, value in told.items() if key.lower() == "comment")) == {
        "prompt": "dög",
        "seed": 3,
    }


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64"])
def test_wav_files_of_every_kind_are_read_and_mixed(tmp_path, kind):
    left = tone(440, rate=44100, level=0.5).samples.double().numpy()
    stereo = np.stack([left, 0 * left], axis=1)
    scale = {"uint8": 127, "int16": 2**15 - 1, "int32": 2**31 - 1}.get(kind, 1)
    wavfile.write(tmp_path / "a.wav", 44100, (stereo * scale + (128 if kind == "uint8" else 0)).astype(kind))
    read = read_sound(tmp_path / "a.wav")
    assert read.rate == 44100 and np.abs(read.samples.numpy() - left / 2).max() < 0.01
    lower = read.at(RATE)
    assert len(lower.samples) == RATE and pitch(lower) == pytest.approx(440, abs=2)


def test_rates_that_a_format_has_not_are_refused_before_it_is_written(tmp_path):
    for name, rate, says in (("a.opus", 44100, "takes rate 8000, 12000"), ("a.mp3", 7000, "takes rate 8000, 11025")):
        with pytest.raises(ValueError, match=says):
            tone(440, rate=rate).save(tmp_path / name)
    for rate in (0, -1, 10**6):
        with pytest.raises(ValueError, match=f"rate must be between 1000 and 384000 Hz, got {rate}"):
            Sound(tone(440).samples, rate, {}).save(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"must end in \.wav, \.flac"):
        tone(440).save(tmp_path / "a.xyz")
    tone(440, rate=44100).save(tmp_path / "a.flac")
    assert read_sound(tmp_path / "a.flac").rate == 44100 and len(list(tmp_path.iterdir())) == 1


def test_a_spectrogram_shows_where_the_sound_is():
    half = torch.cat([torch.zeros(RATE), tone(300).samples])
    bright = np.asarray(Sound(half, RATE, {}).picture().convert("L")) > 100
    assert bright.shape == (80, 125) and not bright[:, :60].any() and bright[-15:, 65:].any(0).all()
    assert not bright[:40].any(), "low tones are at the bottom"


WRONG = (
    ({}, "prompt is empty: say what is to be heard"),
    ({"prompt": " \n"}, "prompt is empty"),
    ({"prompt": "x", "seconds": 0}, "seconds must be above 0 and at most 600, got 0"),
    ({"prompt": "x", "seconds": 10_000}, "seconds must be above 0 and at most 600, got 10000"),
    ({"prompt": "x", "seconds": float("nan")}, "seconds must be above 0 and at most 600, got nan"),
    ({"prompt": "x", "denoise": 0.5}, "denoise and stretch need a sound to start from"),
    ({"prompt": "x", "stretch": (1, 2)}, "denoise and stretch need a sound to start from"),
    ({"sound": "a.wav", "denoise": 0}, "denoise must be above 0 and at most 1, got 0"),
    ({"sound": "a.wav", "stretch": (2, 1)}, "the first before the second, got 2, 1"),
    ({"sound": "a.wav", "stretch": (0.2, float("inf"))}, "the first before the second, got 0.2, inf"),
    ({"sound": "a.wav", "stretch": (float("nan"), 1)}, "the first before the second, got nan, 1"),
    ({"sound": "a.wav", "stretch": (1, 2, 3)}, "two times in seconds, the first before the second, got 1, 2, 3"),
    ({"sound": "a.wav", "stretch": "1,2"}, "two times in seconds, the first before the second, got '1'"),
    ({"prompt": "x", "seconds": "3"}, "seconds must be a number, got '3'"),
    ({"sound": b"RIFF"}, "sound must be a file or a Sound, got bytes"),
    ({"prompt": "x", "sampling": Sampling(channels=3)}, "channels must be left out"),
)


@pytest.mark.parametrize("words, message", WRONG, ids=[message[:24] for _, message in WRONG])
def test_a_wrong_request_is_an_error_that_helps(words, message):
    with pytest.raises(ValueError, match=message):
        AudioRequest(**words)


@pytest.mark.parametrize(
    "samples, rate, message",
    (
        ((2, 9000), RATE, r"one row of samples, got \(2, 9000\): mix its channels"),
        ((9000,), 0, "sound has 0 samples a second, expected at least 1"),
        ((9000,), 44100.0, r"a whole number of samples a second, got 44100\.0"),
        ((0,), RATE, "sound is empty: it has no samples"),
    ),
)
def test_a_sound_from_a_script_is_checked_as_one_from_a_file(models, samples, rate, message):
    with pytest.raises(ValueError, match=message):
        make(models, sound=Sound(torch.zeros(samples), rate, {}))


def test_the_shortest_of_sounds_is_made(tmp_path):
    single = Models(write_spectra(tmp_path / "music.safetensors", MUSIC))
    assert len(make(single, seconds=1 / RATE).samples) == 1  # one frame, which is shorter than a window


def test_wrong_sounds_are_errors_that_help(models, tmp_path):
    with pytest.raises(ValueError, match="sound has samples that are NaN or infinite"):
        make(models, sound=Sound(torch.full((9000,), float("nan")), RATE, {}))
    with pytest.raises(ValueError, match="stretch begins at 3 s, but the sound is 1.00 s long"):
        make(models, sound=tone(440), stretch=(3, 4))
    with pytest.raises(ValueError, match="sound must be above 0 and at most 600, got 700"):
        make(models, sound=tone(440, 700.0, rate=100))
    with pytest.raises(FileNotFoundError, match=r"none\.wav does not exist"):
        make(models, sound="none.wav")
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + struct.pack("<I", 4) + b"WAVE")
    (tmp_path / "broken.mp3").write_bytes(b"no sound")
    wavfile.write(tmp_path / "empty.wav", RATE, np.zeros(0, np.int16))
    wavfile.write(tmp_path / "nan.wav", RATE, np.full(9, np.nan, np.float32))
    for name, says in (
        ("broken.wav", "no sound that can be read"),
        ("broken.mp3", "no sound that can be read"),
        ("empty.wav", "it has no samples"),
        ("nan.wav", "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=rf"{name}.* {says}"):
            read_sound(tmp_path / name)


def test_parts_of_other_models_are_refused(models, released, tmp_path):
    with pytest.raises(ValueError, match="it is a text-to-image Next-DiT, expected a text-to-audio"):
        make(Models())
    with pytest.raises(FileNotFoundError, match="is no vocoder's folder"):
        make(models, vocoder=tmp_path)

    other = write_spectra(tmp_path / "other.safetensors", replace(SPECTRA, text_dim=64))
    with pytest.raises(ValueError, match=r"no text encoder in it, and takes text features 64 wide, not the 128 of"):
        make(Models(other))
    slower = write_spectra(tmp_path / "slower.safetensors", replace(SPECTRA, frame_rate=50.0))
    with pytest.raises(ValueError, match="at 50 frames a second.* different models"):
        make(Models(slower))


def test_without_pyav_a_wav_is_still_written_and_read(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    tone(440).save(tmp_path / "a.wav")
    assert read_sound(tmp_path / "a.wav").seconds == 1.0
    with pytest.raises(ImportError, match=r"PyAV reads and writes \.mp3 files: pip install av, or use \.wav"):
        tone(440).save(tmp_path / "a.mp3")
    assert len(list(tmp_path.iterdir())) == 1
