"""Pictures keep what made them, and are written whole."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lumina_next.pipelines import Picture
from lumina_next.pipelines.pictures import to_pixels

PIXELS = torch.linspace(-1.2, 1.2, 3 * 4 * 5).view(3, 4, 5)
TOLD = {"prompt": "猫 🐈", "seed": 3}


@pytest.fixture
def picture() -> Picture:
    return Picture.of(PIXELS, TOLD)


def told(file) -> dict:
    with Image.open(file) as image:
        return json.loads(image.info["parameters"])


def test_a_picture_is_a_pil_image_with_its_parameters(picture):
    assert isinstance(picture, Image.Image) and (picture.size, picture.mode) == ((5, 4), "RGB")
    assert json.loads(picture.info["parameters"]) == TOLD == picture.parameters
    expected = ((PIXELS.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", b"a.png", Path("a.png")])
def test_a_png_holds_the_parameters(picture, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture.save(name)
    (file,) = tmp_path.iterdir()
    assert told(file) == TOLD
    assert to_pixels(Image.open(file), 5, 4).equal(to_pixels(picture, 5, 4))


def test_other_targets_and_formats_are_pils(picture, tmp_path):
    stream = io.BytesIO()
    picture.save(stream, "png")
    assert told(io.BytesIO(stream.getvalue())) == TOLD
    picture.save(tmp_path / "a.webp", lossless=True)
    picture.save(tmp_path / "b.png", format="JPEG")
    for name, kind in (("a.webp", "WEBP"), ("b.png", "JPEG")):
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    with pytest.raises(ValueError, match="unknown file extension"):
        picture.save(tmp_path / "a.picture")


def test_a_full_disk_leaves_the_old_file(picture, tmp_path, monkeypatch):
    picture.save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def half(image, file, *_, **__):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="No space left"):
        picture.save(tmp_path / "a.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"] and (tmp_path / "a.png").read_bytes() == before


def test_it_goes_to_other_processes_and_through_pil(picture):
    sent = pickle.loads(pickle.dumps(picture))
    assert isinstance(sent, Picture) and sent.parameters == TOLD and sent.tobytes() == picture.tobytes()
    assert picture.resize((10, 8)).info == picture.info


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGB", (2, 2), (255, 0, 0)), (1, -1, -1)),
        (Image.new("L", (2, 2), 255), (1, 1, 1)),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 0)), (1, 1, 1)),
        (Image.new("LA", (2, 2), (0, 255)), (-1, -1, -1)),
        (Image.new("1", (2, 2), 1), (1, 1, 1)),
        (Image.new("CMYK", (2, 2), (0, 0, 0, 255)), (-1, -1, -1)),
        (Image.new("I;16", (2, 2), 65535), (1, 1, 1)),
        (Image.new("I", (2, 2), 0), (-1, -1, -1)),
        (Image.new("RGB", (2, 2), (0, 255, 0)).convert("P"), (-1, 1, -1)),
    ],
    ids=lambda x: getattr(x, "mode", ""),
)
def test_images_of_every_mode_become_pixels(image, expected):
    pixels = to_pixels(image, 6, 4)
    assert pixels.shape == (1, 3, 4, 6)
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor(expected).float(), atol=0.02, rtol=0)
