"""The duel of second passes: what each way draws, compares and writes."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from lumina_next.benchmarks.shared.metrics import seam
from lumina_next.benchmarks.shared.sections import Bench
from lumina_next.benchmarks.two_passes import run as two_passes
from lumina_next.benchmarks.two_passes import ways


@pytest.mark.parametrize("rows,calls", [(256, [12]), (5, [4, 4, 4]), (1, [2] * 6)])
def test_windows_cover_every_pixel_and_are_averaged(monkeypatch, rows, calls):
    seen = []
    monkeypatch.setattr(ways, "ROWS", rows)

    def velocity(x, t):
        assert x.shape[-2:] == (8, 8)
        done = sum(seen) // 2
        seen.append(len(x))
        numbers = torch.arange(1.0 + done, 1 + done + len(x) // 2).repeat_interleave(2)
        return x + numbers.view(-1, 1, 1, 1)

    x = torch.randn(2, 3, 12, 16)
    got = ways.averaged(velocity, 8)(x, torch.tensor(0.5)) - x
    assert seen == calls
    torch.testing.assert_close(got[0, 0, 0, 0], torch.tensor(1.0))
    torch.testing.assert_close(got[0, 0, -1, -1], torch.tensor(6.0))
    torch.testing.assert_close(got[0, 0, 5, 5], torch.tensor((1 + 2 + 4 + 5) / 4))


@pytest.mark.parametrize("shift", [0, 1, 3])
@pytest.mark.parametrize("side", [8, 12, 16, 24])
def test_shifted_windows_still_cover_a_side(side, shift):
    covered = {pixel for begin in ways.begins(side, 8, shift) for pixel in range(begin, begin + 8)}
    assert covered == set(range(side))
    if shift and side > 12:
        assert ways.begins(side, 8, shift) != ways.begins(side, 8)


def test_dilated_pictures_go_back_to_where_they_are_from():
    seen = []

    def velocity(x, t):
        seen.extend(x.clone())
        return x * 2

    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert torch.equal(ways.dilated(velocity, 3)(x, torch.tensor(0.5)), 2 * x)
    assert len(seen) == 9 and seen[1].flatten().tolist() == [1, 4, 19, 22]


class Apart:
    """A network, and what reads its prompts, on the meta device, which refuses what is elsewhere."""

    x_embedder = torch.nn.Linear(1, 1, device="meta")

    def __call__(self, x, t, text, mask, **options):
        assert len(x) == len(t) == len(text)
        return x * t.view(-1, 1, 1, 1) * text.mean()


@pytest.mark.parametrize("way", [ways.by_windows, ways.by_fusion])
def test_second_passes_of_others_run_where_the_network_is(monkeypatch, way):
    text = partial(torch.zeros, device="meta")
    bench = Bench(Apart(), lambda prompts: (text(len(prompts), 3, 1), torch.ones(len(prompts), 3)), None, base=8)
    drawn = []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: drawn.append(x.device.type) or torch.zeros(x.shape))
    assert way(bench, torch.zeros(2, 3, 16, 16), ["a", "b"], 0.5, 2).shape == (2, 3, 16, 16)
    assert drawn == ["meta"]


def test_a_blur_keeps_flat_pictures_and_spreads_a_point():
    flat = torch.full((1, 3, 9, 9), 0.3)
    torch.testing.assert_close(ways.blur(flat, 0.8), flat)
    point = torch.zeros(1, 3, 9, 9)
    point[..., 4, 4] = 1
    got = ways.blur(point, 0.8)
    torch.testing.assert_close(got.sum((-1, -2)), torch.ones(1, 3))
    across = torch.arange(9.0) - 4
    torch.testing.assert_close((got[0, 0].sum(0) * across.square()).sum(), torch.tensor(0.64), atol=0.03, rtol=0)
    torch.testing.assert_close(ways.blur(point, 0.01), point)


def test_skip_residual_holds_the_picture_at_first_and_lets_it_go():
    assert [round(ways.cosine(t, ways.SKIP), 4) for t in (0.0, 0.5, 1.0)] == [1.0, 0.125, 0.0]


def test_a_seam_is_where_windows_begin_and_not_an_edge_of_the_picture():
    true = torch.zeros(1, 3, 32, 32)
    true[..., 10:22, 10:22] = 1
    assert seam(true, true, 8, 4).item() == 0
    seamed, softer = true.clone(), true * 0.7
    seamed[..., 16:, :] += 0.2
    assert seam(seamed, true, 8, 4).item() > 0.2
    elsewhere = true.clone()
    elsewhere[..., 12:, :] += 0.2
    assert seam(elsewhere, true, 8, 4).item() < 0
    assert abs(seam(softer, true, 8, 4).item()) < abs(seam(seamed, true, 8, 4).item())


def test_a_bar_asks_for_more_than_chance():
    def rows(high):
        part = {"value": 0.0, "low": -1.0, "high": high}
        return [{"second pass": "yarn", "denoise": 0.3, "perceptual − plain's": part, "edges − plain's": part}]

    assert [row["met"] for row in two_passes.duel_bars({"2×": rows(-0.01)})] == ["yes", "yes"]
    assert [row["met"] for row in two_passes.duel_bars({"2×": rows(0.01)})] == ["no", "no"]


def test_one_command_writes_the_table_and_the_grid(tmp_path, checkpoint):
    options = ["--prompts", "2", "--denoise", "0.3", "--pass-steps", "1"]
    two_passes.main([*checkpoint, *options])
    (rows,) = json.loads((tmp_path / "two_passes.json").read_text("utf-8"))["sections"].values()
    ways = [
        "1× sample, bicubic",
        two_passes.PLAIN,
        "time_aware_late",
        *two_passes.OTHERS,
        two_passes.FUSION,
        "one pass",
    ]
    assert [row["second pass"] for row in rows] == ways
    assert rows[1]["edges − plain's"]["value"] == 0 and rows[0]["edges − bicubic's"]["value"] == 0
    assert rows[0]["edges − plain's"] == rows[-1]["edges − plain's"] == ""  # there are none at that denoise
    assert rows[2]["perceptual − plain's"]["value"] == pytest.approx(
        rows[2]["perceptual"]["value"] - rows[1]["perceptual"]["value"], abs=1e-6
    )
    assert "positions as they are" in (tmp_path / "two_passes.md").read_text("utf-8")
    assert (tmp_path / "two_passes-2x.webp").is_file()


def test_chosen_ways_with_several_seeds(tmp_path, checkpoint):
    """Every seed is a row of noise of its own; without plain positions there is no bar."""
    options = ["--prompts", "1", "--seeds", "2", "--denoise", "0.3", "--pass-steps", "1", "--ways"]
    two_passes.main([*checkpoint, *options, "scaled"])
    found = json.loads((tmp_path / "two_passes.json").read_text("utf-8"))
    (rows,) = found["sections"].values()
    assert [row["second pass"] for row in rows] == ["1× sample, bicubic", "time_aware_late"]
    assert rows[0]["perceptual"]["low"] < rows[0]["perceptual"]["value"] < rows[0]["perceptual"]["high"]
    assert "aim" not in (tmp_path / "two_passes.md").read_text("utf-8")


def test_redrawn_from_the_stored_results_nothing_changes(tmp_path):
    results = Path(__file__).parents[2] / "benchmarks/results"
    shutil.copy(results / "two_passes.json", tmp_path)
    two_passes.main(["--redraw", "--results", str(tmp_path)])
    for ending in ("md", "json"):
        assert (tmp_path / f"two_passes.{ending}").read_text("utf-8") == (results / f"two_passes.{ending}").read_text(
            "utf-8"
        )
