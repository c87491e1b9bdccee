"""`lumina-next audio`: sounds out, and what wrong input says."""

import sys

import pytest
from PIL import Image

from lumina_next.cli import main
from lumina_next.pipelines import read_sound
from lumina_next.tests.support.untrained_audio import write_released, write_spectra


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_spectra(tmp_path_factory.mktemp("models") / "sounds.safetensors"))


def test_a_sound_from_a_prompt_and_from_a_sound(tmp_path, model, capsys):
    common = ["--model", model, "--steps", "2"]
    assert main(["audio", "a dog bark", *common, "--seconds", "1.5", "-o", "a.flac", "--picture", "a.png"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == "a.flac" and "past the" not in said.err
    assert read_sound(tmp_path / "a.flac").seconds == 1.5
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height == 80 and '"prompt": "a dog bark"' in picture.info["parameters"]
    assert main(["audio", *common, "--sound", "a.flac", "--stretch", "0.5,1", "-o", "b.wav", "--rate", "44100"]) == 0
    made = read_sound(tmp_path / "b.wav")
    assert (made.rate, made.seconds) == (44100, 1.5)
    for _ in range(2):
        assert main(["audio", "rain", *common, "--seconds", "0.2", "--cfg", "1", "--negative", "x"]) == 0
    assert (tmp_path / "audio.wav").is_file() and (tmp_path / "audio-0002.wav").is_file()
    assert "--negative does nothing at --cfg 1" in capsys.readouterr().err


def test_past_the_training_length_it_says_so(model, capsys):
    assert main(["audio", "rain", "--model", model, "--steps", "1", "--cfg", "1", "--seconds", "5"]) == 0
    assert "5.0 s is past the 4.1 s of the model's training: time is stretched (--rope)" in capsys.readouterr().err


def test_a_downloaded_folder_is_opened_as_it_is(tmp_path):
    folder = str(write_released(tmp_path / "Lumina-T2Music", sounds=False))
    assert main(["audio", "slow piano", "--model", folder, "--steps", "1", "--seconds", "0.5", "-o", "a.wav"]) == 0
    assert read_sound("a.wav").seconds == 0.5


def test_wrong_input_is_one_line_that_helps(fails, tmp_path, model, monkeypatch):
    common = ("--model", model)
    assert "--prompt is empty: say what is to be heard" in fails("audio", *common)
    for seconds in (0, -1, 10_000, "nan"):
        assert "--seconds must be above 0 and at most 600, got" in fails("audio", "x", *common, f"--seconds={seconds}")
    assert "--output must end in .wav, .flac, .mp3, .opus, .ogg, .m4a, got a.xyz" in fails("audio", "x", "-o", "a.xyz")
    assert "the folder of --output does not exist" in fails("audio", "x", "-o", "none/a.wav")
    assert "--picture must end in .png, got a.gif" in fails("audio", "x", "--picture", "a.gif")
    (tmp_path / "there.wav").write_bytes(b"")
    assert "there.wav is there already; add --overwrite" in fails("audio", "x", "-o", "there.wav")
    assert ".mp3 takes --rate 8000, 11025" in fails("audio", "x", *common, "--rate", 7000, "-o", "a.mp3")
    assert "--rate must be" in fails("audio", "x", *common, "--rate", 0)
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install av, or use .wav" in fails("audio", "x", *common, "-o", "a.mp3")
    assert "none.wav does not exist" in fails("audio", *common, "--sound", "none.wav")
    assert "--stretch wants FROM,TO in seconds" in fails("audio", *common, "--sound", "there.wav", "--stretch", "1")
    assert "--denoise and --stretch need a --sound" in fails("audio", "x", *common, "--denoise", 0.5)
    assert "give --model or --music, and not both" in fails("audio", "x", *common, "--music")
    assert "is no vocoder's folder" in fails("audio", "x", *common, "--vocoder", tmp_path)
    assert "unknown RoPE method 'x'" in fails("audio", "x", *common, "--rope", "x")


def test_a_stretch_past_the_end_is_said_and_ends_with_the_sound(tmp_path, model, capsys):
    common = ["--model", model, "--steps", "1", "--cfg", "1"]
    assert main(["audio", "rain", *common, "--seconds", "1", "-o", "a.wav"]) == 0
    again = ["audio", "rain", *common, "--sound", "a.wav", "-o", "b.wav", "--overwrite"]
    capsys.readouterr()
    for stretch, more, said in (
        ("0.5,9", (), "--stretch ends at 9 s, but the sound is 1.00 s long: made anew from 0.5 s"),
        ("0.5,1", (), ""),
        ("0,1.5", ("--seconds", "2"), "--seconds is past the 1.00 s of --sound, and --stretch ends before"),
        ("0.5,2", ("--seconds", "2"), ""),
        ("0.5,4", ("--seconds", "2"), "--stretch ends at 4 s, but the sound is 2.00 s long"),
    ):
        assert main([*again, "--stretch", stretch, *more]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lumina-next:")]
        assert len(told) == bool(said) and said in "".join(told)
    assert b'"stretch": [0.5, 2.0]' in (tmp_path / "b.wav").read_bytes()
