"""Clouds in files, in boxes, dense and thin."""

import numpy as np
import pytest
import torch

from lumina_next.nextdit.clouds.files import READERS, WRITTEN, parse_points, read_points, save_points
from lumina_next.nextdit.clouds.picture import four_sides
from lumina_next.nextdit.clouds.shape import densified, fit, from_upright, nearest, spread, unevenness, upright

POINTS = torch.tensor([[0.5, -1.25, 3.0], [7.0, 0.125, -2.0], [1e3, 2e-3, 0.0]])
HEAD = "ply\nformat {} 1.0\ncomment made by hand\nelement vertex 3\n"


@pytest.mark.parametrize("suffix", WRITTEN)
def test_what_is_written_is_read(tmp_path, suffix):
    save_points(POINTS, tmp_path / f"a.{suffix}")
    assert torch.allclose(read_points(tmp_path / f"a.{suffix}"), POINTS)
    assert [file.name for file in tmp_path.iterdir()] == [f"a.{suffix}"]


def test_plys_of_all_kinds():
    properties = "property double x\nproperty uchar red\nproperty double y\nproperty double z\n"
    table = np.zeros(3, np.dtype([("x", "f8"), ("red", "u1"), ("y", "f8"), ("z", "f8")]))
    for axis, column in zip("xyz", POINTS.numpy().T, strict=True):
        table[axis] = column
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    tail = b"\x03" + np.array([0, 1, 2], "<i4").tobytes()
    for order, swapped in (
        ("binary_little_endian", table),
        ("binary_big_endian", table.astype(table.dtype.newbyteorder(">"))),
    ):
        head = HEAD.format(order) + properties + faces + "end_header\n"
        assert torch.allclose(parse_points(head.encode() + swapped.tobytes() + tail, ".ply", "x"), POINTS)
    rows = "".join(f"{x} 9 {y} {z}\n" for x, y, z in POINTS.tolist())
    assert torch.allclose(
        parse_points(
            (HEAD.format("ascii") + properties + faces + "end_header\n" + rows + "3 0 1 2\n").encode(), "ply", "x"
        ),
        POINTS,
    )
    windows = (HEAD.format("ascii") + properties + "end_header\n" + rows).replace("\n", "\r\n")
    assert torch.allclose(parse_points(windows.encode(), "PLY", "x"), POINTS)
    camera = HEAD.format("binary_little_endian").replace(
        "element vertex", "element camera 2\nproperty float f\nelement vertex"
    )
    head = camera + "property float x\nproperty float y\nproperty float z\nend_header\n"
    assert torch.allclose(parse_points(head.encode() + bytes(8) + POINTS.numpy().tobytes(), "ply", "x"), POINTS)


@pytest.mark.parametrize(
    "text", ("3\n1 2 3\n4 5 6\n7 8 9\n", "x,y,z,red\n1,2,3,0\n4,5,6,0\n7,8,9,0\n", "# a\n1;2;3\n\n4;5;6 # b\n7\t8\t9")
)
def test_texts_of_all_kinds(text):
    assert parse_points(text.encode(), ".txt", "x").tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_the_vertices_of_a_mesh():
    assert parse_points(b"# cube\nv 1 2 3\nvn 0 0 1\nv 4 5 6 0.5 0.5 0.5\nf 1 2 1\n", ".obj", "x").tolist() == [
        [1, 2, 3],
        [4, 5, 6],
    ]


BAD = {
    "short": (
        HEAD.format("ascii").encode() + b"property float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n",
        "ends after 1 of 3",
    ),
    "cut": (
        HEAD.format("binary_little_endian").encode()
        + b"property float x\nproperty float y\nproperty float z\nend_header\n"
        + bytes(20),
        "ends after 1 of 3",
    ),
    "flat": (
        HEAD.format("ascii").encode() + b"property float x\nproperty float y\nend_header\n",
        "no vertices with x, y and z",
    ),
    "splat": (HEAD.format("ascii").encode() + b"property half x\nend_header\n", "half"),
    "order": (HEAD.format("middle").encode() + b"end_header\n", "format is none of"),
    "text": (b"a point cloud", "PLY header"),
    "empty": (b"", "PLY header"),
}


@pytest.mark.parametrize("name", BAD)
def test_broken_plys_say_what_is_wrong(name):
    content, message = BAD[name]
    with pytest.raises(ValueError, match=f"broken.ply is no point cloud: .*{message}"):
        parse_points(content, ".ply", "broken.ply")


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    (
        (b"1 2\n3 4\n", "xyz", "fewer than three numbers: '1 2'|fewer than three numbers: '3 4'"),
        (b"1 2 3\n", "xyz", "has 1 points"),
        (b"1 2 3\n1 2 3\n", "xyz", "in one place"),
        (b"1 2 3\nnan 2 3\n", "xyz", "NaN or infinite"),
        (b"1 2 3\n1e39 2 3\n", "xyz", "NaN or infinite"),
        (b"\0\1", "xyz", "binary, expected text"),
        (b"", "csv", "has 0 points"),
        (b"f 1 2 3\n", "obj", "has 0 points"),
        (b"no array", "npy", ""),
    ),
)
def test_other_broken_files_say_what_is_wrong(content, suffix, message):
    with pytest.raises(ValueError, match=f"broken is no point cloud: .*({message})"):
        parse_points(content, suffix, "broken")


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist, or is a folder"):
        read_points(tmp_path)
    with pytest.raises(ValueError, match=r"points are read from \.ply, \.xyz"):
        parse_points(b"", ".glb", "a.glb")
    with pytest.raises(ValueError, match=r"written as \.ply, \.xyz, \.npy"):
        save_points(POINTS, tmp_path / "a.obj")
    assert set(WRITTEN) <= set(READERS)
    np.save(tmp_path / "flat.npy", np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"array of shape \(4, 2\)"):
        read_points(tmp_path / "flat.npy")


@pytest.mark.parametrize("up", ("y", "z"))
def test_a_fitted_cloud_comes_back(up):
    fitted, frame = fit(POINTS, up)
    assert fitted.abs().max() == pytest.approx(1.0)
    assert torch.allclose((fitted.amax(0) + fitted.amin(0)) / 2, torch.zeros(3), atol=1e-6)
    assert torch.allclose(frame.restored(fitted), POINTS, atol=1e-3)
    assert torch.equal(from_upright(upright(POINTS, up), up), POINTS)
    assert torch.equal(upright(POINTS, "y")[:, 1], POINTS[:, 2])
    with pytest.raises(ValueError, match="up must be y or z, got 'x'"):
        upright(POINTS, "x")


def test_thinned_points_are_even_and_are_some_of_those_given():
    points = torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0.0])
    chosen = spread(points, 100)
    assert len(set(chosen.tolist())) == 100
    assert unevenness(points[chosen]) < 0.6 * unevenness(points)
    assert sorted(spread(points, 400).tolist()) == list(range(400))
    for count in (0, 401):
        with pytest.raises(ValueError, match=f"400 points out to {count}"):
            spread(points, count)


def test_dense_points_begin_with_those_given_and_lie_between_neighbours():
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    dense = densified(points, 200, torch.Generator().manual_seed(0))
    assert dense.shape == (200, 3) and torch.equal(dense[:50], points)
    assert nearest(dense, points)[0].max() < nearest(torch.rand(200, 3) + 1, points)[0].max()
    assert len(densified(points, 20, torch.Generator())) == 20 and len(densified(points[:2], 5, torch.Generator())) == 5


def test_a_picture_shows_the_cloud_from_four_sides():
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.3, 0.1])
    picture = four_sides(points, 64)
    assert picture.shape == (64, 256, 3) and picture.dtype == torch.uint8
    sides = [side.numpy().tobytes() for side in picture.split(64, dim=1)]
    assert len(set(sides)) == 4 and all(side.min() < 200 for side in picture.split(64, dim=1))
    assert four_sides(points[:1], 32).min() < 255
