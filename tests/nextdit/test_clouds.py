"""Clouds in files, in boxes, dense and thin."""

import io

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from lumina_next.nextdit.clouds.files import READERS, WRITTEN, parse_points, read_points, save_points
from lumina_next.nextdit.clouds.noise import grained, paired
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


@pytest.mark.parametrize("newline", ("\n", "\r\n", "\r"))
@pytest.mark.parametrize("order", ("ascii", "binary_little_endian"))
def test_plys_with_lines_that_end_as_on_any_system(newline, order):
    head = HEAD.replace("by hand", "without end_header").format(order)
    head = (head + "property float X\nproperty float Y\nproperty float Z\nend_header\n").replace("\n", newline)
    points = torch.tensor([[1.4e-44, 0.5, 1.0], [2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])  # the first number begins with \n
    rows = newline.join([*(" ".join(map(str, row)) for row in points.tolist()), ""]).replace(newline, 2 * newline, 1)
    body = rows.encode() if order == "ascii" else points.numpy().tobytes()
    assert torch.allclose(parse_points(head.encode() + body, "ply", "x"), points)


@pytest.mark.parametrize(
    "text",
    (
        "3\n1 2 3\n4 5 6\n7 8 9\n",
        "x,y,z,red\n1,2,3,0\n4,5,6,0\n7,8,9,0\n",
        "# a\n1;2;3\n\n4;5;6 # b\n7\t8\t9",
        "\ufeff1 2 3\n4 5 6\n7 8 9",  # as Windows begins texts
        "id,x,y,z\n0,1,2,3\n1,4,5,6\n2,7,8,9",
        '"Z";"Y";"X"\n"3";"2";"1"\n6;5;4\n9;8;7',
        "//X Y Z R G B\n1 2 3 0 0 0\n4 5 6 0 0 0\n7 8 9 0 0 0",
        "east north up\n1 2 3\n4 5 6\n7 8 9",
        "1,0;2,0;3,0\n4,0;5,0;6,0\n7,0;8,0;9,0",  # decimal commas
        "1,0 2 3,0\n4,0 5,0 6e0\n+7,0 8,0 9",
        "1, 2, 3\n4 ,5 ,6\n7,8,9",
    ),
)
def test_texts_of_all_kinds(text):
    assert parse_points(text.encode(), ".txt", "x").tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_the_vertices_of_a_mesh():
    assert parse_points(b"# cube\nv 1 2 3\nvn 0 0 1\nv 4 5 6 0.5 0.5 0.5\nf 1 2 1\n", ".obj", "x").tolist() == [
        [1, 2, 3],
        [4, 5, 6],
    ]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_cloud_far_from_0_keeps_its_shape(tmp_path, suffix):
    """As on maps, in metres: float32 would move points by half a metre."""
    points = torch.tensor([[500_000.125, 5_400_000.25, 100.5], [500_001.0, 5_400_000.5, 101.0]], dtype=torch.float64)
    save_points(points, tmp_path / f"a.{suffix}")
    read = read_points(tmp_path / f"a.{suffix}")
    assert torch.equal(read, points)
    fitted, frame = fit(read, "y")
    assert fitted.dtype == torch.float32 and fitted.abs().max() == 1
    assert torch.allclose(frame.restored(fitted), points, rtol=0, atol=1e-6)


def test_arrays_with_colours_and_with_names(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(12).reshape(2, 6))
    assert read_points(tmp_path / "a.npy").tolist() == [[0, 1, 2], [6, 7, 8]]
    table = np.array([(1, 2, 3, 4), (5, 6, 7, 8)], [("z", "f4"), ("red", "u1"), ("y", "f4"), ("x", "f4")])
    np.save(tmp_path / "b.npy", table)
    assert read_points(tmp_path / "b.npy").tolist() == [[4, 3, 1], [8, 7, 5]]


def saved(array, save=np.save) -> bytes:
    file = io.BytesIO()
    save(file, array)
    return file.getvalue()


VERTICES = b"property float x\nproperty float y\nproperty float z\nend_header\n"
BAD = {
    "lists": (
        HEAD.format("ascii").encode() + b"property list uchar int a\n" + VERTICES + b"1 0 1 2 3\n" * 3,
        "lists .vertex. stand before or in",
    ),
    "count": (HEAD.format("ascii").replace("3", "many").encode() + VERTICES, "means nothing: 'element vertex many'"),
    "negative": (HEAD.format("ascii").replace("3", "-3").encode() + VERTICES, "means nothing: 'element vertex -3'"),
    "orphan": (b"ply\nformat ascii 1.0\n" + VERTICES, "means nothing: 'property float x'"),
    "unfinished": (b"ply\nformat\nend_header\n", "means nothing: 'format'"),
    "none": (HEAD.format("ascii").replace("3", "0").encode() + VERTICES, "has 0 points"),
    "narrow": (HEAD.format("ascii").encode() + VERTICES + b"1 2\n" * 3, "too few numbers: '1 2'"),
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
        (b"v 1 2\nv 1 2 3\n", "obj", "fewer than three numbers: 'v 1 2'"),
        (b"x y z\n1 2\n", "txt", "fewer than three numbers: '1 2'"),
        (b"1 2 3\n4 5 nan\ninf 1 2\n", "csv", "2 of its 3 points have coordinates that are NaN"),
        (b"no array", "npy", ""),
        (b"", "npy", ""),
        (saved(np.array([["a", "b", "c"]] * 2)), "npy", "array of <U1, expected numbers"),
        (saved(np.ones((2, 3), complex)), "npy", "array of complex128"),
        (saved(np.ones((2, 3)), np.savez), "npy", "holds several arrays"),
        (saved(np.zeros((2, 3, 4))), "npy", "array of shape"),
    ),
)
def test_other_broken_files_say_what_is_wrong(content, suffix, message):
    with pytest.raises(ValueError, match=f"broken is no point cloud: .*({message})"):
        parse_points(content, suffix, "broken")


def test_files_that_are_none(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; give a file of points"):
        read_points(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.ply does not exist; give a file of points"):
        read_points(tmp_path / "gone.ply")
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
    for given, count in ((50, 20), (2, 5), (1, 3)):
        assert len(densified(points[:given], count, torch.Generator())) == count


def test_a_picture_shows_the_cloud_from_four_sides():
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.3, 0.1])
    picture = four_sides(points, 64)
    assert picture.shape == (64, 256, 3) and picture.dtype == torch.uint8
    sides = [side.numpy().tobytes() for side in picture.split(64, dim=1)]
    assert len(set(sides)) == 4 and all(side.min() < 200 for side in picture.split(64, dim=1))
    assert four_sides(points[:1], 32).min() < 255


@pytest.mark.parametrize("count", (1, 2, 3, 37, 64))
def test_paired_noise_is_the_same_noise_nearly_as_near_as_can_be(count):
    generator = torch.Generator().manual_seed(count)
    noise = torch.randn(2, 3, count, generator=generator)
    clouds = torch.rand(2, 3, count, generator=generator) * torch.tensor([2.0, 1.0, 0.1])[:, None]
    found = paired(noise, clouds)
    for before, after, cloud in zip(noise, found, clouds, strict=True):
        assert sorted(map(tuple, before.T.tolist())) == sorted(map(tuple, after.T.tolist()))
        costs = torch.cdist(cloud.T, before.T).square()
        least = float(costs[linear_sum_assignment(costs)].sum())
        if count > 8:
            assert float((cloud - after).square().sum()) < 0.4 * float(costs.diagonal().sum()) + 0.6 * least
    shuffled = torch.randperm(count, generator=generator)
    assert torch.equal(paired(noise[:, :, shuffled], clouds), found), "its order does not count"


def test_noise_with_grain_is_normal_and_its_middle_strays_as_that_of_few_points():
    noise = torch.randn(2000, 3, 128, generator=torch.Generator().manual_seed(0))
    found = grained(noise, 16, 0.3)
    assert torch.equal(found[..., :16], noise[..., :16]) and torch.equal(grained(noise, 16, 1.0), noise)
    assert torch.equal(grained(noise[..., :9], 16, 0.3), noise[..., :9])
    assert abs(float(found.mean())) < 0.01 and abs(float(found.std()) - 1) < 0.01
    strays = [float(x.mean(-1).std()) * 16**0.5 for x in (noise[..., :16], found, noise)]
    assert 0.95 < strays[0] < 1.05 and 0.9 < strays[1] < 1.02 and strays[2] < 0.4
    apart = found[..., 16:32] - found[..., 32:48]
    assert abs(float(apart.std()) - 0.3 * 2**0.5) < 0.01
