"""The multi-view data: what captions say is what is seen, and every azimuth can be told from the others."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("trimesh")  # conftest.py says loudly what is missing
pytest.importorskip("embreex")

from lumina_next.training.data.objects import views
from lumina_next.training.data.objects.objects import COLOURS, FAMILIES, HEADING, build, describe, draw, is_held_out
from lumina_next.training.data.objects.rendering import Renderer
from lumina_next.training.data.objects.solids import Solid

RED, GREEN, BLUE = (220, 0, 0), (0, 220, 0), (0, 0, 220)


def of_colour(picture, colour):
    """Mask of the pixels that are a shade of a colour: light only scales it."""
    pixels, colour = picture.astype(np.float64), np.array(colour, np.float64)
    lengths = np.linalg.norm(pixels, axis=-1) * np.linalg.norm(colour)
    return (pixels @ colour / lengths.clip(1) > 0.998) & (picture < 250).any(-1)


def middle(mask):
    """Mean row and column of a mask, from -1 to 1."""
    return np.argwhere(mask).mean(0) / len(mask) * 2 - 1


@pytest.fixture(scope="module")
def axes():
    solid = Solid()
    for place, colour in (((1, 0, 0), RED), ((0, 1, 0), GREEN), ((0, 0, 1), BLUE), ((-1, -1, -1), (9, 9, 9))):
        solid.ball((0.4, 0.4, 0.4), place, colour)
    return Renderer(*solid.triangles(), 64)


def test_azimuth_grows_counter_clockwise_seen_from_above(axes):
    """From x, y lies to the right; from y, x lies to the left; from both z is up."""
    front, left = axes.view(0, 0), axes.view(90, 0)
    assert abs(middle(of_colour(front, RED))[1]) < 0.1 and middle(of_colour(front, GREEN))[1] > 0.3
    assert abs(middle(of_colour(left, GREEN))[1]) < 0.1 and middle(of_colour(left, RED))[1] < -0.3
    assert all(middle(of_colour(view, BLUE))[0] < -0.3 for view in (front, left))
    assert np.array_equal(front, axes.view(360, 0))


def test_elevation_is_above_the_horizon(axes):
    """What points at a camera 40° up, a level camera sees in the middle, and that camera further down."""
    level, high = (middle(of_colour(axes.view(0, elevation), RED))[0] for elevation in (0, 40))
    assert high > level + 0.3


def test_objects_face_their_heading():
    """A car's red lights are behind."""
    drawn = (draw(index, held_out=False) for index in range(400))
    record = next(r for r in drawn if r.family == "car" and not {"red", "brown"} & set(r.colours))
    renderer = Renderer(*build(record), 64)
    before, behind = (of_colour(renderer.view(HEADING + turn, 20), (225, 25, 25)).sum() for turn in (0, 180))
    assert behind > 20 and before == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_azimuth_can_be_told_at_64_pixels(family):
    """Each view between two of the 24 is nearest to one within 15°, and the opposite side looks different."""
    right, opposite = [], []
    for index in range(list(FAMILIES).index(family), 3 * len(FAMILIES), len(FAMILIES)):
        renderer = Renderer(*build(draw(index, True)), 64)
        true = np.stack([renderer.view(15 * k, 20) for k in range(24)]).astype(np.float32).reshape(24, -1)
        between = np.stack([renderer.view(15 * k + 7.5, 20) for k in range(24)]).astype(np.float32).reshape(24, -1)
        nearest = ((between[:, None] - true) ** 2).mean(-1).argmin(1)
        right += list((nearest - np.arange(24)) % 24 <= 1)
        opposite.append(np.sqrt(((true - np.roll(true, 12, 0)) ** 2).mean(-1)).min())
    assert np.mean(right) >= 0.99
    assert min(opposite) > 20, "root mean square over all pixels, of 255"


@pytest.mark.parametrize("index", range(2 * len(FAMILIES)))
def test_captions_name_the_colours_that_are_seen(index):
    record = draw(index, held_out=False)
    assert record.captions == describe(record.family, record.colours)
    for name in record.colours:
        assert name in record.captions[0].split()
    renderer = Renderer(*build(record), 64)
    pictures = [renderer.view(azimuth, 20) for azimuth in range(0, 360, 45)]
    for name in record.colours:
        assert max(of_colour(picture, COLOURS[name]).sum() for picture in pictures) >= 12, (record.caption, name)


def test_captions_go_from_long_to_short():
    assert describe("chair", ("orange", "blue", "gray")) == (
        "an orange chair with blue legs and a gray cushion",
        "an orange chair with blue legs",
        "an orange chair with a gray cushion",
        "an orange chair",
        "chair",
    )


def test_objects_fill_the_frame_and_end_before_its_edge():
    sides = []
    for index in range(len(FAMILIES)):
        renderer = Renderer(*build(draw(index, False)), 64)
        for azimuth in range(0, 360, 60):
            picture = renderer.view(azimuth, 20)
            assert all((edge == 255).all() for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]))
            seen = (picture < 255).any(-1)
            sides.append(max(seen.any(0).sum(), seen.any(1).sum()) / 64)
    assert 0.65 < np.mean(sides) < 0.85


def test_held_out_pairs_of_colours_are_in_no_training_object():
    train, held = ([draw(index, out) for index in range(400)] for out in (False, True))
    pairs = [{(r.family, *r.colours[:2]) for r in records} for records in (train, held)]
    assert not pairs[0] & pairs[1]
    every = [is_held_out(f, a, b) for f in FAMILIES for a in COLOURS for b in COLOURS if a != b]
    assert 0.07 < np.mean(every) < 0.13
    assert all(len(set(record.colours)) == 3 for record in train + held)


def test_files_are_the_same_on_every_run_and_begin_those_of_more_objects(tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "more")]
    for folder, objects in zip(folders, (2, 2, 3), strict=True):
        folder.mkdir()
        views.write(folder, objects, 1, size=32)
    one, two, more = folders
    names = {file.name for file in one.iterdir()}
    assert len(names) == 7
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    shapes = {name: np.load(more / name).shape for name in names if name.endswith(".npy")}
    assert shapes == {
        "azimuths.npy": (3, 8),
        "views-32.npy": (3, 8, 32, 32, 3),
        "images-32.npy": (3, 4, 32, 32, 3),
        "test-views-32.npy": (1, 24, 32, 32, 3),
        "test-images-32.npy": (1, 2, 32, 32, 3),
    }
    assert np.array_equal(np.load(one / "views-32.npy"), np.load(more / "views-32.npy")[:2])
    assert json.loads((more / "objects.json").read_text("utf-8"))[:2] == json.loads((one / "objects.json").read_text())


def test_condition_images_are_at_the_azimuths_of_their_views():
    record, azimuths, _, images = views.training_views(3)
    renderer = Renderer(*build(record), 64)
    for azimuth, image in zip(azimuths[: views.IMAGES], images, strict=True):
        near = [np.abs(renderer.view(azimuth, e).astype(int) - image).mean() for e in range(0, 41, 2)]
        away = [np.abs(renderer.view(azimuth + 20, e).astype(int) - image).mean() for e in range(0, 41, 2)]
        assert min(near) < 3 < min(away)
    _, every, held_out_images = views.held_out_views(0)
    assert np.array_equal(every[0], held_out_images[0])


def test_without_embreex_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    with pytest.raises(ImportError, match="pip install embreex"):
        Renderer(np.zeros((1, 3, 3)), np.zeros((1, 3), np.uint8), 64)
