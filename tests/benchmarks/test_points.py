"""The benchmark of points: distances, judge and tables."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lumina_next.benchmarks.points.judge import judged, train
from lumina_next.benchmarks.points.measures import SCALE, Matching, by_pairs, chamfer, chamfers, distances, interval
from lumina_next.benchmarks.shared.report import stored_results
from lumina_next.nextdit import save_model
from lumina_next.nextdit.models.points import PointNextDiT
from lumina_next.tests.benchmarks.test_step import plain
from lumina_next.tests.support.untrained_points import CONFIG


def test_the_chamfer_distance_is_that_of_the_definition():
    a, b = torch.tensor([[0.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.0, 0, 0.5]])
    assert chamfer(a, b) == pytest.approx((0.25 + 1.25) / 2 + 0.25)
    assert chamfer(a, a) == 0 and chamfer(a, b) == pytest.approx(chamfer(b, a))


def test_a_processor_finds_the_distances_that_a_gpu_does():
    clouds = torch.rand(4, 50, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(chamfers(clouds[0], clouds[1:]), by_pairs(clouds[0], clouds[1:]), rtol=1e-5, atol=1e-7)


def test_distances_do_not_see_place_and_size():
    cloud = torch.rand(30, 3, generator=torch.Generator().manual_seed(0))
    other = torch.rand(30, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 0.2, 0.2])
    table = distances([cloud, other], [cloud * 7 + 3, other])
    assert table[0, 0] < 1e-3 and table[1, 1] < 1e-3 and table[0, 1] > 0.01 * SCALE


def test_matching_and_coverage():
    found = Matching.of(torch.tensor([[1.0, 5.0, 3.0], [2.0, 4.0, 9.0]]))
    assert found.nearest.tolist() == [1, 4, 3] and found.covered.tolist() == [True, False, False]
    whole = Matching.joined([found, found])
    assert len(whole.nearest) == 6 and whole.covered.float().mean() == pytest.approx(1 / 3)


def test_the_interval_holds_the_mean_and_is_the_same_again():
    values = torch.randn(50, generator=torch.Generator().manual_seed(0)) + 3
    found = interval(values)
    assert found["low"] < found["value"] < found["high"] and found == interval(values)
    assert 2.5 < found["low"] and found["high"] < 3.6


def test_the_judge_tells_boxes_from_rods_that_it_has_not_seen():
    def clouds(seed: int) -> np.ndarray:
        points = np.random.default_rng(seed).random((2, 6, 200, 3)) - 0.5
        points[1, ..., :2] *= 0.1
        return points

    judge = train(clouds(0), steps=60, batch=8)
    for label, row in enumerate(clouds(1)):
        assert (judged(judge, [torch.from_numpy(cloud).float() for cloud in row]) == label).all()


def test_one_command_measures_and_a_second_one_adds(tmp_path, monkeypatch):
    pytest.importorskip("trimesh")
    from lumina_next.benchmarks.points import sections
    from lumina_next.benchmarks.points.run import main
    from lumina_next.training.data.points import prepare

    (tmp_path / "points").mkdir()
    for name in prepare.SETS:
        rows = np.random.default_rng(len(name)).random((len(sections.LABELS), 2, 40, 3))
        np.save(prepare.file_of(tmp_path, name), rows.astype(np.float16))
    model = PointNextDiT(replace(CONFIG, labels=sections.LABELS)).eval()
    save_model(model, tmp_path / "model.safetensors")
    monkeypatch.setattr(sections, "TRAINED", 8)
    given = ["--cache", tmp_path, "--model", tmp_path / "model.safetensors", "--results", tmp_path, "--name", "small"]
    given += [
        "--keep",
        tmp_path / "made",
        "--tuned",
        tmp_path / "model.safetensors",
        "--plain",
        tmp_path / "model.safetensors",
        "--no-picture",
    ]
    given += [
        "--points",
        16,
        "--samples",
        2,
        "--references",
        1,
        "--steps",
        2,
        "--judge-steps",
        1,
        "--keep",
        tmp_path / "made",
        "--sections",
    ]
    main([str(each) for each in [*given, "shapes"]])
    main([str(each) for each in [*given, "equal", "density"]])
    _, found = stored_results(tmp_path, "small", needed=True)
    first, whole = found["Against held-out shapes"], found["As many samples as held-out shapes"]
    assert [row["MMD ×10³"]["n"] for row in first + whole] == [8] * len(first) + [16] * len(whole)
    by = {row["points made by"]: row for row in first}
    main([str(each) for each in [*given, "shapes", "--ways", "no time scaling"]])
    fewer = stored_results(tmp_path, "small", needed=True)[1]["Against held-out shapes"]
    names = ["training shapes (floor)", "network, proportional attention", "no time scaling"]
    assert fewer == [by[name] for name in names]
    assert {"fine-tuned with 16 points", "no time scaling, PI", "8 points, neighbours between"} < set(by)
    ours, same = by["network, proportional attention"], by["fine-tuned with 16 points"]
    assert ours["MMD ×10³"] == same["MMD ×10³"] and same["MMD − network's"]["value"] == 0
    assert len(found["Density"]) == 4


@pytest.mark.parametrize("points", (16, 100))
def test_the_formula_counts_what_grows_with_the_points(points):
    pytest.importorskip("trimesh")
    from lumina_next.benchmarks.points.sections import operations
    from lumina_next.nextdit.call import Call

    def counted(points: int) -> int:
        model = PointNextDiT(replace(CONFIG, labels=("a",)), device="meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            x, t = torch.empty(1, 3, points, device="meta"), torch.empty(1, device="meta")
            model.velocity(x, t, torch.empty(1, 1, 1, device="meta"), call=Call(attend=plain))
        return counter.get_total_flops()

    # text and modulation do not grow; the cross-attention to one token is left out of the formula
    grown = counted(2 * points) - counted(points)
    left_out = 4 * points * CONFIG.dim * CONFIG.n_layers
    assert operations(CONFIG, 2 * points) - operations(CONFIG, points) == grown - left_out
