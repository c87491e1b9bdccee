"""The duel of second passes: what each way draws, compares and writes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lumina_next.benchmarks.two_passes import run as two_passes


def test_windows_cover_every_pixel_and_are_averaged():
    seen = []

    def velocity(x, t):
        seen.append(x.shape[-2:])
        return x + len(seen)

    x = torch.randn(2, 3, 12, 16)
    got = two_passes.averaged(velocity, 8)(x, torch.tensor(0.5)) - x
    assert seen == [(8, 8)] * 6
    torch.testing.assert_close(got[0, 0, 0, 0], torch.tensor(1.0))
    torch.testing.assert_close(got[0, 0, -1, -1], torch.tensor(6.0))
    torch.testing.assert_close(got[0, 0, 5, 5], torch.tensor((1 + 2 + 4 + 5) / 4))


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
    ways = ["1× sample, bicubic", two_passes.PLAIN, "time_aware_late", two_passes.WINDOWS, "one pass"]
    assert [row["second pass"] for row in rows] == ways
    assert rows[1]["edges − plain's"]["value"] == 0 and rows[0]["edges − bicubic's"]["value"] == 0
    assert rows[0]["edges − plain's"] == rows[-1]["edges − plain's"] == ""  # there are none at that denoise
    assert rows[2]["perceptual − plain's"]["value"] == pytest.approx(
        rows[2]["perceptual"]["value"] - rows[1]["perceptual"]["value"], abs=1e-6
    )
    assert "positions as they are" in (tmp_path / "two_passes.md").read_text("utf-8")
    assert (tmp_path / "two_passes-2x.webp").is_file()


def test_redrawn_from_the_stored_results_nothing_changes(tmp_path):
    results = Path(__file__).parents[2] / "benchmarks/results"
    shutil.copy(results / "two_passes.json", tmp_path)
    two_passes.main(["--redraw", "--results", str(tmp_path)])
    for ending in ("md", "json"):
        assert (tmp_path / f"two_passes.{ending}").read_text("utf-8") == (results / f"two_passes.{ending}").read_text(
            "utf-8"
        )
