"""Classifiers in ComfyUI: what nodes tell of images is what the library tells, and what wrong connections say."""

import json

import comfy.sd
import folder_paths
import pytest
import torch

from lumina_next.nextdit import recognition as library
from lumina_next.nextdit import save_model
from lumina_next.nodes.adapter.models import loading, recognition
from lumina_next.nodes.recognition.classify_image import ClassifyImage
from lumina_next.nodes.recognition.image_features import ImageFeatures
from lumina_next.nodes.recognition.keep_best import KeepBest
from lumina_next.nodes.recognition.load_classifier import LoadClassifier
from lumina_next.nodes.recognition.sort_by_similarity import SortBySimilarity
from lumina_next.tests.support.untrained_classifier import LABELS, untrained


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifiers") / "tiny.safetensors"
    save_model(untrained(), path)
    return path


@pytest.fixture(scope="module")
def classifier(file):
    with pytest.MonkeyPatch.context() as patch:
        places, endings = folder_paths.folder_names_and_paths["classifiers"]
        patch.setitem(folder_paths.folder_names_and_paths, "classifiers", ([str(file.parent), *places], endings))
        assert "tiny.safetensors" in recognition.files()
        return LoadClassifier.execute("tiny.safetensors").result[0]


def images(count: int = 3, height: int = 64, width: int = 96, channels: int = 3) -> torch.Tensor:
    squares = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(squares, (height, width)).movedim(1, -1)


def test_classify_image_tells_what_the_library_tells(classifier):
    batch = images()
    labels, texts, confidences = ClassifyImage.execute(classifier, batch, "ja", 2, "as trained").result
    model = untrained()
    likely = library.shares(model, library.features(model, batch.movedim(-1, 1) * 2 - 1))
    assert labels == [LABELS["ja"][i] for i in likely.argmax(-1)]
    torch.testing.assert_close(torch.tensor(confidences), likely.amax(-1))
    for text, label in zip(texts, labels, strict=True):
        rows = json.loads(text)
        assert len(rows) == 2 and rows[0]["label"] == label and rows[0]["confidence"] >= rows[1]["confidence"]
    everything = json.loads(ClassifyImage.execute(classifier, batch, "emoji", 1000, "ntk_aware").result[1][0])
    assert {row["label"] for row in everything} == set(LABELS["emoji"])


def test_transparent_images_lie_on_white(classifier):
    batch = images(1, channels=4)
    white = batch[..., :3] * batch[..., 3:] + 1 - batch[..., 3:]
    found, expected = (recognition.features_of(classifier, x).values for x in (batch, white))
    torch.testing.assert_close(found, expected)


def test_the_best_are_kept_in_order(classifier):
    batch = images(5)
    kept, scores = KeepBest.execute(classifier, batch, "dog, 🍎", 2).result
    every = recognition.shares_of(classifier, recognition.features_of(classifier, batch))[:, [0, 2]].sum(-1)
    order = every.argsort(descending=True)
    torch.testing.assert_close(kept, batch[order[:2]])
    torch.testing.assert_close(torch.tensor(scores), every[order[:2]])
    assert len(KeepBest.execute(classifier, batch, "dog", 0).result[0]) == 5


def test_the_most_alike_come_first(classifier):
    batch = images(4)
    features = ImageFeatures.execute(classifier, batch).result[0]
    reference = ImageFeatures.execute(classifier, batch[2:3]).result[0]
    kept, scores = SortBySimilarity.execute(batch, features, reference, 2).result
    assert torch.equal(kept[0], batch[2]) and scores[0] == pytest.approx(1.0, abs=1e-4) and len(kept) == 2


def test_wrong_connections_are_errors_that_help(classifier, file, tmp_path):
    features = recognition.features_of(classifier, images())
    with pytest.raises(ValueError, match="there are 2 images and features of 3: connect the same images to both"):
        recognition.most_alike(images(2), features, features, 0)
    other = recognition.ImageFeatures(features.values, "another")
    with pytest.raises(ValueError, match="make both with the same classifier"):
        recognition.most_alike(images(), features, other, 0)
    with pytest.raises(ValueError, match="no label 'dgo'; did you mean dog"):
        recognition.best(classifier, images(), "dgo", 1)
    with pytest.raises(ValueError, match="no labels in 'fr'; this model has en, ja, emoji"):
        recognition.classified(classifier, images(), "fr", 5, "as trained")
    with pytest.raises(ValueError, match="expected images"):
        recognition.as_pictures(torch.zeros(0, 8, 8, 3))
    with pytest.raises(FileNotFoundError, match="gone.safetensors is no longer in models/classifiers"):
        recognition.load("gone.safetensors")
    for load in (loading.load, lambda path: comfy.sd.load_diffusion_model(str(path))):
        with pytest.raises(
            ValueError, match="a Next-DiT that recognises pictures: open it with Load Lumina-Next Class"
        ):
            load(file)
