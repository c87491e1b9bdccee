"""Training of points: shapes that repeat, captions in every language, and a loss that falls."""

from random import Random

import numpy as np
import pytest
import torch

pytest.importorskip("trimesh")  # tests/training/conftest.py says loudly what is missing

from lumina_next.nextdit import load_model
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.training.data.emoji.concepts import LANGUAGES
from lumina_next.training.data.points import captions, prepare
from lumina_next.training.data.points.batches import PointBatches
from lumina_next.training.data.points.shapes import BUILDERS, LABELS, cloud, on_surface
from lumina_next.training.loop.text import CachedTexts
from lumina_next.training.loop.trainer import train
from lumina_next.training.tasks import points


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    (folder / "points").mkdir()
    rows = (
        np.random.default_rng(0).random((len(LABELS), 2, 64, 3)) * np.linspace(0.2, 2, len(LABELS))[:, None, None, None]
    )
    np.save(prepare.file_of(folder, "train"), rows.astype(np.float16))
    return folder


@pytest.mark.parametrize("label", LABELS)
def test_shapes_are_the_same_for_a_seed_and_fill_their_box(label):
    first, again, other = cloud(label, "a", 128), cloud(label, "a", 128), cloud(label, "b", 128)
    assert np.array_equal(first, again) and not np.allclose(first, other)
    assert first.dtype == np.float32 and np.isclose(np.abs(first).max(), 1.0)
    for build in BUILDERS[label]:
        clouds = [build(Random(seed)).triangles()[0].reshape(-1, 3) for seed in range(4)]
        sizes = {tuple((corners.max(0) - corners.min(0)).round(6)) for corners in clouds}
        assert len(sizes) == 4, "every seed has proportions of its own"


def test_points_lie_on_the_triangles_as_densely_everywhere():
    triangles = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 5], [3, 0, 5], [0, 3, 5]]], float)
    found = on_surface(triangles, 4000, np.random.default_rng(0))
    low = found[:, 2] == 0
    assert 0.07 < low.mean() < 0.13 and (found[low][:, :2].sum(1) <= 1).all()
    assert np.allclose(found[~low].mean(0), [1, 1, 5], atol=0.1)


def test_captions_name_every_label_in_every_language():
    assert set(captions.WORDS) == set(LANGUAGES) and len(captions.EMOJI) == len(LABELS)
    assert all(len(words) == len(LABELS) and all(words) for words in captions.WORDS.values())
    drawn = {captions.draw(1, Random(seed)) for seed in range(400)}
    assert {"椅子", "Stuhl", "a chair", "🪑"} <= drawn and any(text.startswith("a red chair with ") for text in drawn)
    assert "" not in drawn


def test_batches_repeat_and_leave_out_some_labels(cache):
    batches = PointBatches(prepare.load(cache, "train"), 16, 200, seed=1)
    first, again = batches.draw(3, 0.0), batches.draw(3, 0.9)
    assert torch.equal(first.points, again.points) and first.prompts == again.prompts
    assert first.points.shape == (200, 3, 16) and not torch.equal(first.points, batches.draw(4, 0.0).points)
    out = first.labels == -1
    assert 5 < out.sum() < 45 and all((text == "") == bool(gone) for text, gone in zip(first.prompts, out, strict=True))
    told = points.shares(first.labels, len(LABELS))
    assert told.shape == (200, 1, 8) and torch.equal(told.sum(-1)[:, 0], (~out).float())


@pytest.mark.parametrize("text", (False, True), ids=("labels", "text"))
def test_a_model_learns_is_saved_and_goes_on(cache, text_encoder_folder, tmp_path, text):
    given = ["--text-encoder", str(text_encoder_folder)] if text else []
    arguments = [
        "--cache",
        str(cache),
        "--run",
        str(tmp_path / "run"),
        "--points",
        "16",
        "--clouds",
        "4",
        "--warmup",
        "2",
    ]
    options = points.parse([*arguments, *given, "--no-compile", "--steps", "12", "--rate", "1e-2"])
    losses = train(points.make_trainer(options), tmp_path / "run", tmp_path / "model.safetensors")
    assert len(losses) == 12 and np.mean(losses[-4:]) < np.mean(losses[:4])
    model = load_model(tmp_path / "model.safetensors")
    assert model.config.labels == (() if text else LABELS) and model.config.train_points == 16
    assert list((tmp_path / "run").glob("samples-*.png"))
    assert points.make_trainer(options).run.step == 12


def test_paired_noise_is_the_same_noise_and_makes_the_way_short(cache, tmp_path):
    generator = torch.Generator().manual_seed(0)
    noise, data = torch.randn(2, 3, 40, generator=generator), 2 * torch.rand(2, 3, 40, generator=generator) - 1
    found = points.paired(noise, data)
    assert torch.equal(found.sort(dim=2).values[:, 0], noise.sort(dim=2).values[:, 0])
    assert (found - data).square().sum() < 0.5 * (noise - data).square().sum()
    shared = ["--cache", str(cache), "--points", "16", "--clouds", "4", "--no-compile", "--steps", "2", "--no-samples"]
    losses = []
    for name, more in (("free", []), ("paired", ["--paired"])):
        options = points.parse([*shared, *more, "--run", str(tmp_path / name)])
        losses.append(np.mean(train(points.make_trainer(options), tmp_path / name, tmp_path / f"{name}.safetensors")))
        assert load_model(tmp_path / f"{name}.safetensors").config.paired == bool(more)
    assert losses[1] < 0.9 * losses[0]


def test_a_model_of_text_begins_with_what_a_model_of_labels_has(cache, text_encoder_folder, tmp_path):
    arguments = [
        "--cache",
        str(cache),
        "--no-compile",
        "--steps",
        "1",
        "--points",
        "8",
        "--clouds",
        "1",
        "--no-samples",
    ]
    options = points.parse([*arguments, "--run", str(tmp_path / "a")])
    train(points.make_trainer(options), tmp_path / "a", None)
    first = load_model(tmp_path / "a/model.safetensors", dtype=torch.float32)
    more = ["--run", str(tmp_path / "b"), "--model", str(tmp_path / "a/model.safetensors")]
    second = points.make_trainer(
        points.parse([*arguments, *more, "--text-encoder", str(text_encoder_folder)])
    ).run.model
    assert torch.equal(second.point_embedder.linear.weight, first.point_embedder.linear.weight)
    assert (first.config.labels, second.config.labels) == (LABELS, ())


def test_sets_hold_the_shapes_of_their_seeds():
    made = prepare.clouds("train", 2, 16)
    assert made.shape == (len(LABELS), 2, 16, 3) and made.dtype == np.float16
    assert np.array_equal(made[3, 1], cloud(LABELS[3], "train 1", 16).astype(np.float16))


def test_captions_of_a_batch_have_the_features_that_they_have_alone(text_encoder_folder):
    encoder = load_text_encoder(text_encoder_folder, dtype=torch.float32)
    together = CachedTexts(encoder, torch.device("cpu"), together=True)(["a chair", "", "a chair", "ein blauer Becher"])
    for n, prompt in enumerate(("a chair", "", "a chair", "ein blauer Becher")):
        alone = CachedTexts(encoder, torch.device("cpu"))([prompt])
        counts = alone[1][0]
        assert torch.equal(together[1][n], counts)
        torch.testing.assert_close(together[0][n][counts], alone[0][0][counts], atol=1e-4, rtol=1e-4)


def test_graphs_are_refused_where_there_are_none(cache, tmp_path):
    given = [
        "--cache",
        str(cache),
        "--run",
        str(tmp_path),
        "--points",
        "16",
        "--no-compile",
        "--device",
        "cpu",
        "--graph",
    ]
    with pytest.raises(ValueError, match="leave out --graph"):
        points.make_trainer(points.parse(given))


def test_missing_data_say_how_they_are_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m lumina_next.training.data.points.prepare"):
        prepare.load(tmp_path, "train")
