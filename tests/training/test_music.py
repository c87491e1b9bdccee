"""Training of music: tunes that are in their key and at their tempo, captions that say so, and a loss that falls."""

from collections import Counter
from multiprocessing import get_all_start_methods
from random import Random

import numpy as np
import pytest
import torch

from lumina_next.demo import TEXT_ENCODER
from lumina_next.nextdit import load_model
from lumina_next.training.data.music import batches, captions, prepare, tunes, words
from lumina_next.training.data.music.captions import Piece
from lumina_next.training.data.music.instruments import INSTRUMENTS
from lumina_next.training.data.music.tunes import KEYS, MAJOR, MINOR, PITCHES, REACH, TEMPOS, Key, tune
from lumina_next.training.data.sounds.words import LANGUAGES, NAMES
from lumina_next.training.loop.ahead import Ahead
from lumina_next.training.tasks import audio

SECONDS = batches.TRAIN_FRAMES / 62.5


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a folder with data in which a tone of key n is a line in bin n, and silence."""
    folder = tmp_path_factory.mktemp("music")
    spectra = np.zeros((len(INSTRUMENTS), 2, PITCHES, prepare.MEL.bins, 30), np.uint8)
    spectra[:, :, np.arange(PITCHES), np.arange(PITCHES)] = 180
    names = np.array([instrument.name for instrument in INSTRUMENTS])
    np.savez(
        prepare.file_of(folder), spectra=spectra.reshape(len(names), 2 * PITCHES, prepare.MEL.bins, 30), names=names
    )
    return folder


@pytest.mark.parametrize("key", KEYS, ids=words.key_name)
def test_tunes_are_in_their_key_and_within_reach(key):
    for bpm in (TEMPOS[0], 100, TEMPOS[-1]):
        found = tune(key, bpm, SECONDS, 60, Random(bpm))
        scale = (
            {(key.tonic + tone) % 12 for tone in (*MINOR, 11)} if key.minor else {(key.tonic + x) % 12 for x in MAJOR}
        )
        assert {tone.pitch % 12 for tone in found} <= scale
        assert all(60 - REACH[0] <= tone.pitch <= 60 + REACH[1] for tone in found)
        first = {tone.pitch % 12 for tone in found if tone.begins < 0.1}
        assert first == {key.tonic}, "melody and bass begin on the tonic"


def test_tones_begin_on_the_beat_or_half_of_it():
    for bpm in TEMPOS:
        found = tune(Key(2, False), bpm, SECONDS, 62, Random(bpm))
        begins = np.array([tone.begins for tone in found])
        halves = (begins - begins.min()) * bpm / 30
        assert np.abs(halves - halves.round()).max() < 1e-6
        beats = {round(x / 2) for x in halves if round(x) % 2 == 0}
        assert beats == set(range(max(beats) + 1)) and max(beats) >= SECONDS * bpm / 60 - 2, "none is left out"
        assert all(0 < tone.gain <= 1 and tone.ends > tone.begins for tone in found)


def test_chords_are_triads_of_the_key():
    assert Key(0, False).chord(0) == (0, 4, 7) and Key(0, False).chord(4) == (7, 11, 2)
    assert (
        Key(9, True).chord(0) == (0, 3, 7)
        and Key(9, True).chord(4) == (7, 11, 2)
        and Key(9, True).chord(5) == (8, 0, 3)
    )
    for slots in (1, 2, 3, 9):
        chords = tunes.progression(Key(0, True), slots, Random(0))
        assert len(chords) == slots and chords[0] == chords[-1] == (0, 3, 7)


def test_keys_have_a_name_of_their_own_in_every_language():
    for language in LANGUAGES:
        assert len({words.key_name(key, language) for key in KEYS}) == 24
    names = [
        words.key_name(Key(1, minor), x) for minor, x in ((False, "en"), (True, "en"), (False, "de"), (True, "ja"))
    ]
    assert names == ["D flat major", "C sharp minor", "Des-Dur", "嬰ハ短調"]
    assert words.key_name(Key(10, False), "de") == "B-Dur" and words.key_name(Key(11, True), "de") == "H-Moll"


def test_moods_are_of_tempo_and_key():
    assert [words.mood(Key(0, minor), bpm) for minor, bpm in ((False, 60), (False, 160), (True, 60), (True, 160))] == [
        *("calm", "cheerful", "sad", "dramatic")
    ]
    assert words.mood(Key(0, True), 100) is None and words.mood(Key(0, True), 70, "fr") == "triste"


def test_captions_say_what_a_piece_is_and_never_what_is_held_out():
    chance, held = Random(0), 0
    for _ in range(400):
        piece = captions.draw_piece(chance)
        text = captions.draw_caption(piece, chance)
        assert not piece.is_held_out and "{" not in text
        names = {
            name
            for x in captions.languages(piece.instrument)
            for name in NAMES[x][INSTRUMENTS[piece.instrument].number]
        }
        assert any(name in text for name in names)
        assert "bpm" not in text or f"{piece.bpm} bpm" in text
    held = [Piece(n, key, 100).is_held_out for n in range(len(INSTRUMENTS)) for key in KEYS]
    assert 0.05 < np.mean(held) < 0.15
    assert Piece(0, Key(2, False), 120).write(words.ENGLISH[0]) == "piano music in D major, 120 bpm"
    assert not set(words.UNSEEN) & {*words.ENGLISH, *words.MOODY, *words.BRIEF}


def test_batches_repeat_and_are_what_their_captions_say(cache):
    drawn = batches.MusicBatches(prepare.load(cache), 4 * batches.TRAIN_FRAMES, seed=1)
    first, again = drawn.draw(3, 0.6), drawn.draw(3, 0.6)
    assert torch.equal(first.spectra, again.spectra) and first.prompts == again.prompts
    assert first.spectra.shape == (4, 80, batches.TRAIN_FRAMES)
    assert {drawn.draw(step, 0.0).spectra.shape[2] for step in range(9)} == {192, 384}
    even = batches.MusicBatches(prepare.load(cache), 768, even=True)
    assert {even.draw(step, 0.0).spectra.shape[2] for step in range(9)} == {384}
    piece = Piece(0, Key(5, False), 120)
    notes = batches.scene(piece, 1, SECONDS, Random(0))
    assert {note.recording // PITCHES for note in notes} == {1}
    loud = (drawn.mixer(batches.Score.of([notes], batches.TRAIN_FRAMES))[0] > -2).any(1).nonzero().flatten().tolist()
    assert loud == sorted({note.recording - PITCHES for note in notes})


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="processes cannot fork here")
def test_batches_are_the_same_planned_ahead_by_other_processes(cache):
    plain = batches.MusicBatches(prepare.load(cache), 384, seed=2)
    ahead = Ahead(plain, 1)
    for step in (5, 6):
        a, b = plain.draw(step, 0.5), ahead.draw(step, 0.5)
        assert a.prompts == b.prompts and torch.equal(a.spectra, b.spectra)


def test_data_of_other_instruments_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="music.prepare"):
        prepare.load(tmp_path)
    np.savez(prepare.file_of(tmp_path), spectra=np.zeros((1, PITCHES, 80, 4), np.uint8), names=np.array(["kazoo"]))
    with pytest.raises(ValueError, match="other instruments"):
        prepare.load(tmp_path)


def test_training_learns_and_its_checkpoint_says_how_long_a_tune_is(cache, tmp_path):
    options = audio.parse(
        [
            *("--source", "music", "--cache", str(cache), "--text-encoder", str(TEXT_ENCODER), "--run", str(tmp_path)),
            *("--steps", "6", "--frames", "384", "--warmup", "1", "--rate", "3e-3", "--average", "0.5"),
            *("--no-compile", "--no-samples", "--device", "cpu", "--even"),
        ]
    )
    trainer = audio.make_trainer(options)
    losses = [trainer.step(trainer.batches.draw(n, 0.0)).item() for n in range(6)]
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    trainer.run.export(tmp_path / "model.safetensors", {"title": options.title})
    config = load_model(tmp_path / "model.safetensors").config
    assert (config.train_frames, config.patch_size) == (batches.TRAIN_FRAMES, 1)
    assert (tmp_path / "model.safetensors").stat().st_size < 8e6 and options.title == "Lumina-Next music demo"


def test_instruments_are_among_the_sounds_and_drawn_alike():
    assert len({instrument.name for instrument in INSTRUMENTS}) == len(INSTRUMENTS) >= 10
    count = Counter(captions.draw_piece(Random(seed)).instrument for seed in range(600))
    assert set(count) == set(range(len(INSTRUMENTS))) and min(count.values()) > 20
