"""Training of recognition: drawings that repeat, sizes of all kinds, people's own folders, and a loss that falls."""

import json
import random

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("timm")  # tests/training/conftest.py says loudly what is missing

from lumina_next.nextdit import load_model
from lumina_next.training.data.recognition import prepare, styles
from lumina_next.training.data.recognition.batches import LENGTHS, LabelledBatches
from lumina_next.training.data.recognition.sources import EmojiSource, FolderSource
from lumina_next.training.loop.trainer import train
from lumina_next.training.tasks import classifier

COLOURS = ((200, 40, 40), (40, 180, 60), (40, 60, 220))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Three labels, discs of a colour, in every style but that fxemoji lacks one."""
    folder = tmp_path_factory.mktemp("recognition")
    (folder / "recognition").mkdir()
    for style in styles.STYLES:
        for size in (*prepare.SIZES, prepare.TEST_SIZE):
            y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
            alpha = np.where(x**2 + y**2 < 0.8, 255, 0)[..., None]
            drawn = [np.concatenate([np.full((size, size, 3), colour), alpha], -1) for colour in COLOURS]
            np.save(folder / f"recognition/{style}-{size}.npy", np.stack(drawn).astype(np.uint8))
    have = {style: [0, 1, 2] for style in styles.STYLES} | {"fxemoji": [0, 2]}
    labels = {"en": ["red", "green", "blue"], "de": ["rot", "grün", "blau"]}
    (folder / "recognition/labels.json").write_text(json.dumps({"labels": labels, "styles": have}))
    return folder


@pytest.fixture
def folder(tmp_path):
    for colour, name in zip(COLOURS, ("red", "green", "blue"), strict=True):
        (tmp_path / "own" / name).mkdir(parents=True)
        for n in range(12):
            Image.new("RGB", (30 + 7 * n, 60), colour).save(tmp_path / "own" / name / f"{n:02}.png")
    return tmp_path / "own"


def test_drawings_repeat_and_leave_the_held_out_style_alone(cache):
    source = EmojiSource(cache)
    assert len(source) == 3 and styles.HELD_OUT not in source.styles
    assert source.have[1] == [style for style in source.styles if style != "fxemoji"]
    for size in ((64, 64), (40, 120), (200, 56)):
        first, again, other = (source.draw(1, size, random.Random(seed)) for seed in (1, 1, 2))
        assert first.size == size[::-1] and first.tobytes() == again.tobytes() != other.tobytes()
    shown = np.asarray(source.draw(1, (64, 64), random.Random(3))).reshape(-1, 3).astype(int)
    assert (abs(shown - COLOURS[1]).sum(1) < 30).mean() > 0.1, "the disc is not in the picture"
    with pytest.raises(ValueError, match="noto is the style of the test: train on others"):
        EmojiSource(cache, ("twemoji", "noto"))


def test_batches_repeat_whatever_was_drawn_before(cache):
    for any_size in (False, True):
        batches = LabelledBatches(EmojiSource(cache), 8, 8, 8, seed=1, any_size=any_size)
        first, _, again = batches.draw(3, 0.0), batches.draw(4, 0.0), batches.draw(3, 0.5)
        assert torch.equal(first.targets, again.targets)
        assert all(torch.equal(a, b) for a, b in zip(first.pictures, again.pictures, strict=True))
        torch.testing.assert_close(first.targets.sum(-1), torch.ones(len(first.targets)))
        assert all(-1 <= x.min() and x.max() <= 1 for x in first.pictures)


def test_batches_of_many_sizes_fill_one_length_each(cache):
    batches = LabelledBatches(EmojiSource(cache), 8, 8, 64, seed=0, any_size=True)
    grids = [batches.grids(random.Random(seed)) for seed in range(60)]
    longest = [rows * columns for rows, columns in (found[0] for found in grids)]
    assert set(longest) == set(LENGTHS)
    for found, length in zip(grids, longest, strict=True):
        assert max(rows * columns for rows, columns in found) == length and len(found) >= 4
        assert all(max(grid) <= 4 * min(grid) for grid in found)
    ratios = [rows / columns for found in grids for rows, columns in found]
    assert min(ratios) < 0.35 and max(ratios) > 2.8


def test_no_picture_is_larger_than_the_checkpoint_will_take(cache):
    batches = LabelledBatches(EmojiSource(cache), 8, 8, 64, seed=0, any_size=True, most=256)
    found = [grid for seed in range(20) for grid in batches.grids(random.Random(seed))]
    assert max(rows * columns for rows, columns in found) == 256
    with pytest.raises(ValueError, match="pictures of 32 patches or fewer are too small to train on: allow 64"):
        LabelledBatches(EmojiSource(cache), 8, 8, 64, seed=0, any_size=True, most=32)


def test_two_stages_learn_are_saved_and_go_on(cache, tmp_path):
    arguments = ["--cache", str(cache), "--count", "8", "--warmup", "2", "--no-compile", "--rate", "2e-3"]
    options = classifier.parse([*arguments, "--run", str(tmp_path / "a"), "--steps", "16", "--styles", "twemoji"])
    losses = train(classifier.make_trainer(options), tmp_path / "a", tmp_path / "first.safetensors")
    assert len(losses) == 16 and np.mean(losses[-4:]) < np.mean(losses[:4])
    (shown,) = (tmp_path / "a").glob("samples-000016-*-percent.png")
    assert float(shown.stem.split("-")[2]) > 60
    assert classifier.make_trainer(options).run.step == 16
    more = ["--model", str(tmp_path / "first.safetensors"), "--any-size", "--rope", "ntk_aware", "--steps", "2"]
    options = classifier.parse([*arguments, *more, "--run", str(tmp_path / "b"), "--no-samples"])
    train(classifier.make_trainer(options), tmp_path / "b", None)
    config = load_model(tmp_path / "b/model.safetensors").config
    assert config.labels["de"] == ("rot", "grün", "blau") and (config.scaling, config.train_tokens) == ("ntk_aware", 8)


def test_a_folder_of_labelled_pictures(folder, tmp_path):
    (folder / "labels.json").write_text(json.dumps({"en": {"red": "ruby"}, "fr": {"red": "rouge"}}))
    arguments = ["--pictures", str(folder), "--run", str(tmp_path / "run"), "--count", "4", "--steps", "2"]
    options = classifier.parse([*arguments, "--no-compile", "--side", "7"])
    train(classifier.make_trainer(options), tmp_path / "run", None)
    config = load_model(tmp_path / "run/model.safetensors").config
    assert config.labels == {"en": ("blue", "green", "ruby"), "fr": ("blue", "green", "rouge")}
    assert list((tmp_path / "run").glob("samples-*.png"))
    source = FolderSource(folder)
    assert [len(files) for files in source.files] == [11] * 3 and [len(files) for files in source.tested] == [1] * 3
    assert not {file for files in source.files for file in files} & {file for files in source.tested for file in files}
    for size in ((64, 64), (32, 128)):
        assert source.draw(0, size, random.Random(0)).size == size[::-1]


def test_folders_that_cannot_be_trained_on(tmp_path, folder):
    (tmp_path / "one" / "red").mkdir(parents=True)
    with pytest.raises(ValueError, match="has pictures for 0 labels; expected a folder of pictures for each of two"):
        FolderSource(tmp_path / "one")
    with pytest.raises(ValueError, match="does not exist"):
        FolderSource(tmp_path / "none")
    options = classifier.parse(["--run", "run", "--pictures", str(folder), "--model", "other.safetensors"])
    with pytest.raises(FileNotFoundError):
        classifier.make_trainer(options)


def test_missing_data_say_how_they_are_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m lumina_next.training.data.recognition.prepare"):
        prepare.load(tmp_path)


def test_concepts_are_what_every_style_draws(monkeypatch, tmp_path):
    icon = {"body": "<path/>"}
    noto = {
        "icons": {"dog-face": icon, "clock-face": icon, "red-apple": icon, "smile": icon},
        "width": 128,
        "height": 64,
    }
    about = {
        "categories": {"Animals & Nature": ["dog-face"], "Objects": ["clock-face", "red-apple"], "Faces": ["smile"]}
    }
    others = {"icons": {"dog": icon, "red-apple": icon, "smile": icon}, "aliases": {"dog-face": {"parent": "dog"}}}
    sets = {style: (others, {}) for style in styles.STYLES} | {"noto": (noto, about)}
    sets["fxemoji"] = ({"icons": {"dogface": icon}, "width": 512}, {})
    (tmp_path / "style-noto/package").mkdir(parents=True)
    codes = {
        "1f436": "dog-face",
        "1f34e": "red-apple",
        "1f550": "clock-face",
        "1f604": "smile",
        "1f436-1f3fb": "dog-face",
    }
    (tmp_path / "style-noto/package/chars.json").write_text(json.dumps(codes))
    monkeypatch.setattr(styles, "read", lambda cache: sets)
    found = styles.concepts(tmp_path)
    assert [concept.emoji for concept in found] == ["🍎", "🐶"]
    assert set(found[0].svg) == set(styles.STYLES) - {"fxemoji"} and set(found[1].svg) == set(styles.STYLES)
    assert 'viewBox="0 0 128 64"' in found[0].svg["noto"]
