"""Training of sounds: clips that repeat, captions in every language, and a loss that falls."""

from random import Random

import numpy as np
import pytest
import torch

from lumina_next.demo import TEXT_ENCODER
from lumina_next.nextdit import load_model
from lumina_next.training.data.emoji.concepts import LANGUAGES
from lumina_next.training.data.sounds import captions, prepare, rendering, scenes, words
from lumina_next.training.data.sounds.batches import BUCKETS, TRAIN_FRAMES, SoundBatches, whole
from lumina_next.training.data.sounds.captions import Captions
from lumina_next.training.data.sounds.mixing import Score
from lumina_next.training.data.sounds.sounds import SOUNDS
from lumina_next.training.data.sounds.spectrogram import to_picture
from lumina_next.training.loop.trainer import train
from lumina_next.training.tasks import audio

NAMES = [sound.name for sound in SOUNDS]
FRAMES = 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a folder with data in which sound n is a line in bin n, and silence."""
    folder = tmp_path_factory.mktemp("sounds")
    spectra = np.zeros((len(SOUNDS), 2, prepare.MEL.bins, FRAMES), np.uint8)
    for n in range(len(SOUNDS)):
        spectra[n, :, n] = 180
    np.savez(prepare.file_of(folder), spectra=spectra, names=np.array(NAMES))
    return folder


def drawn(count, seeds):
    """Return orders of so many sounds, each with a caption."""
    made, found = Captions(), set()
    for chance in map(Random, range(seeds)):
        order = made.order(count, chance)
        found.add((tuple(order), made.draw(order, chance)))
    return found


def test_every_sound_has_a_name_in_every_language_of_the_text_encoder():
    assert set(words.LANGUAGES) <= set(LANGUAGES) and len(set(NAMES)) == len(NAMES) >= 30
    for language, names in words.NAMES.items():
        assert len(names) == len(SOUNDS) and all(all(name.strip() == name != "" for name in row) for row in names)
        taken = [name.casefold() for row in names for name in row]
        twice = {name for name in taken if taken.count(name) > 1}
        assert not twice, f"one name for two sounds in {language}: {twice}"
    assert words.UNCOUNTED <= set(NAMES)


def test_captions_never_have_what_is_held_out():
    held = {(n, x) for n, name in enumerate(NAMES) for x in words.LANGUAGES[1:] if captions.is_held_out(name, x)}
    assert 0.05 < len(held) / len(NAMES) / (len(words.LANGUAGES) - 1) < 0.15
    pairs = {(n, x) for n in range(len(NAMES)) for x in words.LANGUAGES} - held
    shown = {(n, name) for n, x in pairs for name in words.NAMES[x][n]}
    never = {(n, name) for n, x in held for name in words.NAMES[x][n]} - shown  # "banjo" is a word of many languages
    assert never and not never & {(order[0], text) for order, text in drawn(1, 6000)}
    assert not any(captions.pair_is_held_out(order) for order, _ in drawn(3, 300))
    assert any(captions.pair_is_held_out([a, b]) for a in range(10) for b in range(10))


def test_captions_say_what_comes_first():
    dog, bell = NAMES.index("dog bark"), NAMES.index("church bell")
    assert captions.structured([dog]) == "<dog bark& all>"
    assert captions.structured([dog, bell]) == "<dog bark& start>@<church bell& end>"
    assert captions.structured([dog, bell, dog]) == "<dog bark& start>@<church bell& mid>@<dog bark& end>"
    rows = {Captions().row([dog, bell], Random(seed)) for seed in range(300)}
    assert {"a dog bark, then a church bell", "a church bell after a dog bark"} <= rows
    assert "Hund, dann Kirchenglocke" in rows or "Hundegebell, dann Kirchenglocke" in rows
    three = {Captions().row([dog, bell, NAMES.index("rain")], Random(seed)) for seed in range(100)}
    assert "dog bark, then church bell, then rain" in {row.replace("a ", "") for row in three}
    assert captions.with_article(NAMES.index("rain")) == "rain"
    assert not set(captions.UNSEEN) & set(captions.ENGLISH)


def test_notes_fill_the_clip_and_each_its_own_part():
    order = [NAMES.index("bongo"), NAMES.index("helicopter")]
    found = scenes.notes(order, [4] * len(SOUNDS), 4.0, Random(0))
    assert {note.sound for note in found} == set(order) and all(note.recording < 4 for note in found)
    first = [note for note in found if note.sound == order[0]]
    assert len(first) > 3 and max(note.begins for note in first) < 2.0 == first[0].ends
    assert all(2.0 <= note.begins < 4.0 for note in found if note.sound == order[1])


def test_a_note_is_faded_out_when_its_part_is_over():
    note = scenes.Note(0, 0, begins=1.0, gain=0.5, ends=1.5)
    gains = scenes.envelope(note, 100, 120)
    assert gains[:50] == pytest.approx(0.5) and gains[round(100 * (0.5 + scenes.FADE)) :].max() == 0
    assert (np.diff(gains) <= 0).all()
    mixed = scenes.mixed([note, note], lambda note: np.ones(150, np.float32), 100, 2.0)
    assert mixed[:100].max() == 0 and mixed[100] == pytest.approx(1.0) and mixed.shape == (200,)


def test_bytes_keep_spectra_within_a_quarter_of_a_decibel():
    mel = torch.linspace(-5, 1.5, 1000).reshape(1, 10, 100)
    kept = prepare.from_bytes(prepare.to_bytes(mel))
    assert 20 * np.abs(kept - mel.numpy()).max() < 0.3


def test_batches_repeat_and_are_what_their_captions_say(cache):
    batches = SoundBatches(prepare.load(cache), 8 * TRAIN_FRAMES, seed=1)
    first, again = batches.draw(3, 0.6), batches.draw(3, 0.6)
    assert torch.equal(first.spectra, again.spectra) and first.prompts == again.prompts
    assert not torch.equal(first.spectra[0], batches.draw(4, 0.6).spectra[0])
    sizes = {batches.draw(step, spent).spectra.shape for step in range(40) for spent in (0.0, 0.9)}
    assert {(16, 80, 128), (8, 80, 256)} == sizes
    assert any("" in batches.draw(step, 0.0).prompts for step in range(10))


def test_sounds_stand_in_the_order_of_the_caption(cache):
    batches, order = SoundBatches(prepare.load(cache), 256), [3, 7]
    scene = scenes.notes(order, [2] * len(SOUNDS), 256 / 62.5, Random(0))
    loud = (batches.mixer(Score.of([scene], 256))[0] > -2).numpy()
    where = np.arange(256)
    assert where[loud[3]].max() < 128 + 20 and where[loud[7]].min() >= 128
    assert not loud[[n for n in range(80) if n not in order]].any()
    assert all(bucket.frames <= TRAIN_FRAMES for bucket in BUCKETS)


def test_shares_are_of_clips_with_one_two_and_three_sounds(cache):
    batches = SoundBatches(prepare.load(cache), 8 * TRAIN_FRAMES, seed=1, buckets=whole((0.2, 0.5, 0.3)))
    plans = [batches.plan(step, spent) for step in range(200) for spent in (0.0, 0.9)]
    assert {plan.score.frames for plan in plans} == {TRAIN_FRAMES}
    structured = [caption for plan in plans for caption in plan.prompts if caption.startswith("<")]
    counts = np.bincount([caption.count("@") for caption in structured]) / len(structured)
    assert counts == pytest.approx([0.2, 0.5, 0.3], abs=0.08)


def test_tunes_are_not_several_in_a_row(capsys):
    with pytest.raises(SystemExit):
        audio.parse("--text-encoder x --run y --source music --shares 1 0 0".split())
    assert "--shares is for --source sounds" in capsys.readouterr().err


def test_programs_are_drawn_more_often_than_drums_and_effects():
    made = Captions()
    drawn_once = np.bincount([made.order(1, Random(seed))[0] for seed in range(6000)], minlength=len(SOUNDS))
    programs = np.array([sound.bank == 0 for sound in SOUNDS])
    assert drawn_once[programs].mean() == pytest.approx(2 * drawn_once[~programs].mean(), rel=0.1)


def test_data_of_other_sounds_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare"):
        prepare.load(tmp_path)
    np.savez(prepare.file_of(tmp_path), spectra=np.zeros((1, 1, 80, 4), np.uint8), names=np.array(["yodel"]))
    with pytest.raises(ValueError, match="other sounds"):
        prepare.load(tmp_path)


def test_a_missing_font_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="FluidR3_GM.sf2"):
        rendering.TRAINING_FONTS[0].find([tmp_path])
    (tmp_path / "FluidR3_GM.sf2").touch()
    assert rendering.TRAINING_FONTS[0].find([tmp_path / "none", tmp_path]) == tmp_path / "FluidR3_GM.sf2"
    bark, piano = SOUNDS[NAMES.index("dog bark")], SOUNDS[0]
    fonts = rendering.TRAINING_FONTS
    assert [font.has(bark) for font in fonts] == [False, False, True]
    assert [font.has(piano) for font in fonts] == [True, True, False]


def test_a_picture_has_low_tones_at_the_bottom():
    spectra = torch.full((3, 80, 10), -5.0)
    spectra[:, 0] = 0.5
    picture = to_picture(spectra, columns=2, enlarge=1)
    assert picture.shape == (2 * 84, 2 * 14, 3) and picture[79, 0].sum() > 600 > picture[0, 0].sum()


def test_training_goes_on_where_it_stopped_and_learns(cache, tmp_path):
    options = audio.parse(
        [
            *("--cache", str(cache), "--text-encoder", str(TEXT_ENCODER), "--run", str(tmp_path)),
            *("--steps", "12", "--frames", "256", "--warmup", "2", "--rate", "2e-3", "--average", "0.5"),
            *("--no-compile", "--no-samples", "--device", "cpu"),
        ]
    )
    trainer = audio.make_trainer(options)
    losses = [trainer.step(trainer.batches.draw(n, 0.0)).item() for n in range(6)]
    trainer.run.save(tmp_path / "state.pt")
    resumed = audio.make_trainer(options)
    assert resumed.run.step == 6
    losses += train(resumed, tmp_path, None)
    assert resumed.run.step == 12 and np.mean(losses[-3:]) < np.mean(losses[:3])
    model = load_model(tmp_path / "model.safetensors")
    assert (model.config.train_frames, model.config.frame_rate, model.config.patch_size) == (TRAIN_FRAMES, 62.5, 2)
    assert model.config.latent_shift == audio.MIDDLE and model.config.scale_factor == pytest.approx(1 / audio.SPREAD)
