"""`lumina-next classify`: a line of JSON a picture, and what wrong input says."""

import json

import numpy as np
import pytest
from PIL import Image

from lumina_next.cli import main
from lumina_next.nextdit import save_model
from lumina_next.tests.support.untrained_classifier import LABELS, untrained


@pytest.fixture
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "classifier.safetensors"
    save_model(untrained(), file)
    return str(file)


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "folder").mkdir()
    for n, name in enumerate(("a.png", "folder/b.png", "folder/c.jpg")):
        squares = np.random.default_rng(n).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(squares).resize((40 + 30 * n, 64), Image.Resampling.NEAREST).save(tmp_path / name)


def lines(capsys, *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert main(["classify", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_of_json_a_picture(pictures, model, capsys):
    told = lines(capsys, "a.png", "folder", "--model", model, "--top", "2", "--language", "ja")
    assert [each["file"] for each in told] == ["a.png", "folder/b.png", "folder/c.jpg"]
    assert [each["size"] for each in told] == [[40, 64], [70, 64], [100, 64]]
    for each in told:
        assert each["label"] == each["top"][0]["label"] and len(each["top"]) == 2
        assert each["label"] in LABELS["ja"] and 0 < each["confidence"] <= 1 and "score" not in each


def test_pictures_in_another_order(pictures, model, capsys):
    told = lines(capsys, "a.png", "folder", "--model", model, "--like", "folder/b.png")
    assert told[0]["file"] == "folder/b.png" and told[0]["score"] == pytest.approx(1.0, abs=1e-3)
    best = lines(capsys, "a.png", "folder", "--model", model, "--best", "🍎")
    assert [each["score"] for each in best] == sorted((each["score"] for each in best), reverse=True)


def test_wrong_input_is_one_line_that_helps(pictures, model, fails, tmp_path):
    own = ("--model", model)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    assert "none.png does not exist" in fails("classify", "none.png", *own)
    assert "empty holds no pictures (.png" in fails("classify", "empty", *own)
    assert "text.png holds no picture" in fails("classify", "text.png", *own)
    assert "--top must be a whole number" in fails("classify", "a.png", *own, "--top", 0)
    assert "no labels in 'xx'; this model has en, ja, emoji" in fails("classify", "a.png", *own, "--language", "xx")
    assert "give --like or --best" in fails("classify", "a.png", *own, "--like", "a.png", "--best", "dog")
    assert "unknown --rope 'odd'" in fails("classify", "a.png", *own, "--rope", "odd")
    assert "no.safetensors" in fails("classify", "a.png", "--model", "no.safetensors")
