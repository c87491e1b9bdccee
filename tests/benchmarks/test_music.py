"""The judges of music, on tones whose tempo and key are known, and on pieces that are the same every time."""

from random import Random

import numpy as np
import pytest

from lumina_next.benchmarks.music import listening, run, sections
from lumina_next.benchmarks.music.judge import pieces
from lumina_next.training.data.music.instruments import INSTRUMENTS
from lumina_next.training.data.music.tunes import KEYS, Key, tune
from lumina_next.training.data.sounds.rendering import SAMPLE_RATE


def plucked(key, bpm, seconds=6.0):
    """Return a tune (samples,) on a string that dies away."""
    out = np.zeros(round(seconds * SAMPLE_RATE) + SAMPLE_RATE, np.float32)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for tone in tune(key, bpm, seconds, 60, Random(1)):
        first = round(tone.begins * SAMPLE_RATE)
        hertz = 440 * 2 ** ((tone.pitch - 69) / 12)
        out[first : first + len(time)] += tone.gain * np.exp(-6 * time) * np.sin(2 * np.pi * hertz * time)
    return out[: round(seconds * SAMPLE_RATE)]


@pytest.mark.parametrize("bpm", [60, 90, 130, 160])
def test_tempos_are_heard(bpm):
    sound = np.stack([plucked(Key(0, False), bpm), plucked(Key(9, True), bpm)])
    assert listening.same_tempo(listening.tempos(sound), np.array([bpm, bpm])).all()


def test_half_and_double_the_tempo_are_the_same_and_nothing_else():
    wanted = np.full(6, 100.0)
    heard = np.array([100.0, 51.0, 196.0, 104.0, 107.0, 150.0])
    assert listening.same_tempo(heard, wanted).tolist() == [True, True, True, True, False, False]


def test_keys_are_told_by_how_much_there_is_of_their_tones():
    for key in KEYS:
        tones = np.zeros(12)
        for degree, count in ((0, 4), (3, 1), (4, 2)):
            for tone in key.chord(degree):
                tones[(key.tonic + tone) % 12] += count
        assert listening.best_key(tones) == key


def test_tones_count_in_every_octave_and_more_in_the_beginning():
    notes = np.zeros((300, 88), np.float32)
    notes[200:210, 60 - listening.LOWEST_NOTE] = notes[200:210, 72 - listening.LOWEST_NOTE] = 1.0
    notes[:10, 67 - listening.LOWEST_NOTE] = 1.0
    notes[:, 50 - listening.LOWEST_NOTE] = listening.CLEAR / 2
    found = listening.chroma(notes)
    assert found[0] == pytest.approx(20) and found[7] == pytest.approx(30) and found.sum() == pytest.approx(50)


def test_without_basic_pitch_the_judge_says_what_to_install(monkeypatch):
    listening.basic_pitch.cache_clear()
    monkeypatch.setattr(listening, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="basic-pitch==0.4.0"):
        listening.keys(np.zeros((1, SAMPLE_RATE), np.float32))


def test_pieces_are_the_same_every_time_of_all_instruments_and_held_out_or_not():
    for held in (False, True):
        found = pieces(24, "a", held)
        assert found == pieces(24, "a", held) != pieces(24, "b", held)
        assert {piece.is_held_out for piece in found} == {held}
    assert {piece.instrument for piece in pieces(24, "a")} == set(range(len(INSTRUMENTS)))


def test_options_name_every_section_once(tmp_path):
    options = run.parse(["--model", str(tmp_path / "x.safetensors")])
    assert options.sections == tuple(run.SECTIONS) and options.device == "cpu" and options.spectra is None
    row = {"key, %": {"value": 40.0}, "instrument, %": {"value": 90.0}}
    assert sections.against(row, {"key, %": {"value": 80.0}, "instrument, %": {"value": 90.0}}) == "0.50, 1.00"
