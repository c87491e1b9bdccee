"""`lumina-next class`: pictures out, and what wrong input says."""

import json

import pytest
import torch
from PIL import Image

from lumina_next.cli import main
from lumina_next.demo import CLASS_MODEL, MODEL
from lumina_next.nextdit import save_model
from lumina_next.nextdit.models.class_image import ClassDiT
from lumina_next.tests.nextdit.conftest import randomise
from lumina_next.tests.pipelines.test_classes import PIXELS
from lumina_next.tests.support.untrained_classes import untrained


@pytest.fixture
def model(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("models") / "classes.safetensors"
    save_model(randomise(ClassDiT(PIXELS)), file, {"train_tokens": "8"})
    return str(file)


def printed(capsys, *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(["class", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_picture_for_each_class_and_seed(model, tmp_path, capsys):
    own = ("--model", model, "--steps", "1")
    assert printed(capsys, "bee", *own) == ["bee.png"] and printed(capsys, "1", *own) == ["bee-0002.png"]
    assert (tmp_path / "bee.png").read_bytes() == (tmp_path / "bee-0002.png").read_bytes()
    assert json.loads(Image.open("bee.png").info["parameters"])["label"] == "bee"
    assert printed(capsys, "ant", "cow", *own, "-o", "two.png") == ["two-ant.png", "two-cow.png"]
    assert printed(capsys, "ant", *own, "--batch", "2", "--seed", "5") == ["ant-5.png", "ant-6.png"]
    assert printed(capsys, "bee", *own, "--width", "24", "--cfg", "1", "--overwrite") == ["bee.png"]
    assert Image.open("bee.png").size == (24, 16)


def test_the_demo_lists_its_classes_and_draws_one(capsys):
    told = printed(capsys, "--list")
    assert len(told) == 64 and told[4] == "4\tfox"
    assert printed(capsys, "red apple", "--steps", "1") == ["red-apple.png"]
    assert Image.open("red-apple.png").size == (32, 32)


def test_a_model_without_names_lists_numbers(tmp_path, capsys, monkeypatch):
    save_model(untrained("imagenet"), tmp_path / "imagenet.safetensors")
    monkeypatch.setattr("lumina_next.nextdit.class_config.IMAGENET", 999)
    assert printed(capsys, "--list", "--model", "imagenet.safetensors")[-1] == "999"


def test_wrong_input_is_one_line_that_helps(fails, model, tmp_path):
    own = ("--model", model)
    (tmp_path / "here.png").write_text("kept")
    assert "give one class or several, by name or number, or --list" in fails("class")
    assert "or --list" in fails("class", "bee", "--list", *own)
    assert "did you mean 4: fox?; --list prints all" in fails("class", "foxx", "--model", CLASS_MODEL)
    assert "from 0 to 63; --list prints all" in fails("class", "fox", "99", "--model", CLASS_MODEL)
    assert "expected a name or a number from 0 to 2; they are ant, bee, cow" in fails("class", "zebra", *own)
    assert "expected a class-conditional Next-DiT or Flag-DiT" in fails("class", "bee", "--model", MODEL)
    assert "expected a class-conditional Next-DiT or Flag-DiT" in fails("class", "--list", "--model", MODEL)
    assert "bee is asked for twice; --batch makes several" in fails("class", "bee", "1", *own)
    assert "--output must end in .png, got bee.jpg" in fails("class", "bee", *own, "-o", "bee.jpg")
    assert "the folder of --output does not exist" in fails("class", "bee", *own, "-o", "none/bee.png")
    assert "here.png is there already; add --overwrite" in fails("class", "bee", *own, "-o", "here.png")
    assert "--batch must be at most 10000" in fails("class", "bee", *own, "--batch", "9" * 11)
    assert "--batch must be at least 1, got 0" in fails("class", "bee", *own, "--batch", 0)
    assert "--width must be at least 1, got 0" in fails("class", "bee", *own, "--width", 0)
    assert "paints pixels and takes no --vae" in fails("class", "bee", *own, "--vae", "vae.safetensors")
    assert (tmp_path / "here.png").read_text() == "kept" and not list(tmp_path.glob("bee*"))
