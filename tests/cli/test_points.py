"""`lumina-next points`: clouds and pictures out, and what wrong input says."""

import numpy as np
import pytest
from PIL import Image

from lumina_next.cli import main
from lumina_next.nextdit import save_model
from lumina_next.nextdit.clouds.files import read_points
from lumina_next.pipelines import PointsRequest
from lumina_next.tests.support.untrained_points import untrained


@pytest.fixture
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "points.safetensors"
    save_model(untrained(), file)
    return str(file)


def test_the_demo_makes_points_from_a_prompt_and_from_a_label(tmp_path):
    assert (
        main(["points", "a red chair", "--count", "300", "--steps", "2", "-o", "chair.ply", "--picture", "chair.png"])
        == 0
    )
    assert read_points(tmp_path / "chair.ply").shape == (300, 3)
    assert Image.open("chair.png").size == (1024, 256)
    assert main(["points", "--label", "mug", "--count", "64", "--steps", "1", "--even", "-o", "mug.xyz"]) == 0
    assert read_points(tmp_path / "mug.xyz").shape == (64, 3)
    assert PointsRequest("mug").how.cfg == 2 and PointsRequest(label="mug").how.cfg == 1


def test_a_cloud_is_made_dense_where_it_lies(tmp_path, model):
    cloud = 50 + 3 * np.random.default_rng(0).random((20, 3))
    np.savetxt("own.xyz", cloud)
    arguments = ["points", "--label", "chair", "--model", model, "--cloud", "own.xyz", "--steps", "2", "-o", "out.ply"]
    assert main([*arguments, "--keep", "--count", "50"]) == 0
    made = read_points(tmp_path / "out.ply").numpy()
    assert made.shape == (50, 3) and np.allclose(made[:20], cloud, atol=1e-3)
    assert main([*arguments, "--denoise", "0.3", "--overwrite"]) == 0
    assert read_points(tmp_path / "out.ply").shape == (20, 3)


def test_no_cloud_is_written_over_unless_asked_for(tmp_path, model, fails, capsys):
    arguments = ["points", "--label", "chair", "--model", model, "--count", "8", "--steps", "1"]
    for name in ("points.ply", "points-0002.ply"):
        assert main(arguments) == 0 and (tmp_path / name).is_file()
    before, _ = (tmp_path / "points.ply").read_bytes(), capsys.readouterr()
    told = fails(*arguments, "--seed", 1, "-o", "points.ply")
    assert "points.ply is there already; add --overwrite, or give --output another name" in told
    assert (tmp_path / "points.ply").read_bytes() == before
    assert main([*arguments, "--seed", "1", "--overwrite"]) == 0 and (tmp_path / "points.ply").read_bytes() != before


def test_wrong_input_is_one_line_that_helps(fails, tmp_path, model):
    (tmp_path / "text.ply").write_text("no cloud")
    label = ("--label", "chair", "--model", model)
    assert "give a prompt, or --label NAME, and not both" in fails("points")
    assert "and not both" in fails("points", "chair", "--label", "chair")
    assert "--count must be a whole number of points, at least 1, got 0" in fails("points", *label, "--count", 0)
    assert "make fewer points (--count)" in fails("points", *label, "--count", 10**11)
    assert "text.ply is no point cloud: it does not begin with a PLY header" in fails(
        "points", *label, "--cloud", "text.ply"
    )
    assert "nowhere.ply does not exist" in fails("points", *label, "--cloud", "nowhere.ply")
    assert "points are read from .ply" in fails("points", *label, "--cloud", model)
    assert "--output must end in .ply, .xyz, .npy, got chair.stl" in fails("points", *label, "-o", "chair.stl")
    assert "the folder of --picture does not exist" in fails("points", *label, "--picture", "none/a.png")
    assert "this model knows plane, chair, table" in fails("points", "--label", "sofa", "--model", model)
    assert "from a label, not from text" in fails("points", "chair", "--model", model)
    assert "--keep and --denoise need a --cloud" in fails("points", *label, "--keep")
    assert not list(tmp_path.glob("points.*"))
