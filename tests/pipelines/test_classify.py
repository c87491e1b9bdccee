"""Requests about pictures: what they refuse, and what is told of pictures of every kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from lumina_next.nextdit import save_model
from lumina_next.pipelines import ClassifyRequest, Models, classify, image_features
from lumina_next.tests.support.untrained_classifier import LABELS, untrained
from lumina_next.tests.support.untrained_points import untrained as untrained_points


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    file = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    save_model(untrained(), file)
    return Models(file, device="cpu")


def image(width: int, height: int, seed: int = 0) -> Image.Image:
    squares = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(squares).resize((width, height), Image.Resampling.NEAREST)


def test_each_picture_gets_its_labels_as_if_alone(models):
    pictures = [image(64, 64), image(300, 80, 1), image(20, 77, 2)]
    found = classify(ClassifyRequest(pictures, top=3, language="ja"), models)
    assert [each.place for each in found] == [0, 1, 2] and [each.size for each in found] == [p.size for p in pictures]
    for picture, each in zip(pictures, found, strict=True):
        (alone,) = classify(ClassifyRequest([picture], top=4), models)
        assert [g.index for g in alone.top[:3]] == [g.index for g in each.top]
        assert each.confidence == pytest.approx(alone.confidence, abs=1e-5) and each.label == each.top[0].label
        assert sum(g.confidence for g in alone.top) == pytest.approx(1.0, abs=1e-5)
        assert each.label in LABELS["ja"] and alone.label in LABELS["en"]


def test_the_most_alike_and_the_best_come_first(models):
    pictures = [image(64, 64, seed) for seed in range(4)]
    alike = classify(ClassifyRequest(pictures, like=image(96, 96, 2)), models)
    assert alike[0].place == 2 and alike[0].score == max(each.score for each in alike)
    best = classify(ClassifyRequest(pictures, best="cat, 車"), models)
    scores = [each.score for each in best]
    assert scores == sorted(scores, reverse=True)
    told = best[0].as_dict()
    wanted = sum(g["confidence"] for g in told["top"] if g["label"] in ("cat", "car"))
    assert told["score"] == pytest.approx(wanted, abs=1e-3)


def test_features_of_unit_length(models):
    found = image_features([image(64, 64), image(64, 128), image(64, 64)], models)
    assert found.shape == (3, 32) and torch.allclose(found.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(found[0], found[2])


def test_files_of_every_mode_upright_and_over_white(models, tmp_path):
    opaque = image(48, 96)
    plain = classify(ClassifyRequest([opaque]), models)[0]
    transparent = opaque.convert("RGBA")
    transparent.paste((10, 200, 30, 0), (0, 0, 48, 40))
    white = opaque.copy()
    white.paste((255, 255, 255), (0, 0, 48, 40))
    kinds = {"a.png": opaque.convert("P"), "b.png": transparent, "c.png": opaque.convert("L"), "d.webp": opaque}
    for name, picture in kinds.items():
        picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    opaque.rotate(90, expand=True).save(tmp_path / "e.png", exif=exif)
    found = dict(zip("abcde", classify(ClassifyRequest(sorted(tmp_path.iterdir())), models), strict=True))
    assert all(each.size == (48, 96) for each in found.values())
    for name in "de":
        assert found[name].confidence == pytest.approx(plain.confidence, abs=1e-4)
    assert found["b"].confidence == pytest.approx(classify(ClassifyRequest([white]), models)[0].confidence, abs=1e-4)


def test_progress_counts_pictures(models):
    told = []
    classify(
        ClassifyRequest([image(8, 8, n) for n in range(5)]), models, lambda done, total: told.append((done, total))
    )
    assert told[0] == (0, 5) and told[-1] == (5, 5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pictures": []}, "give at least one"),
        ({"top": 0}, "top must be a whole number of labels, at least 1, got 0"),
        ({"top": 2.5}, "got 2.5"),
        ({"rope": "time_aware"}, "unknown rope 'time_aware'; known: extrapolation"),
        ({"like": "a.png", "best": "dog"}, "give like or best, and not both"),
    ],
)
def test_requests_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        ClassifyRequest(**{"pictures": [image(8, 8)], **options})


def test_what_models_and_files_lack_is_said(models, tmp_path):
    one = [image(8, 8)]
    with pytest.raises(ValueError, match="no labels in 'de'; this model has en, ja, emoji"):
        classify(ClassifyRequest(one, language="de"), models)
    with pytest.raises(ValueError, match="no label 'dgo'"):
        classify(ClassifyRequest(one, best="dgo"), models)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="text.png holds no picture"):
        classify(ClassifyRequest([tmp_path / "text.png"]), models)
    with pytest.raises(FileNotFoundError, match="none.png does not exist"):
        classify(ClassifyRequest([tmp_path / "none.png"]), models)
    image(64, 64).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:80])
    with pytest.raises(ValueError, match="cut.png"):
        classify(ClassifyRequest([tmp_path / "cut.png"]), models)
    save_model(untrained_points(), tmp_path / "points.safetensors")
    with pytest.raises(ValueError, match="a Next-DiT for points, expected a Next-DiT that recognises pictures"):
        classify(ClassifyRequest(one), Models(tmp_path / "points.safetensors", device="cpu"))
