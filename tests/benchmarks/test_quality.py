import json

import pytest
import torch
import torch.nn.functional as F

from lumina_next.benchmarks import bars, metrics, quality, report, sections
from lumina_next.benchmarks.truth import Truth
from lumina_next.tests import untrained_model, untrained_text_encoder


@pytest.fixture(scope="module")
def truth():
    return Truth()


def test_the_sheets_hold_every_concept_at_every_size(truth):
    assert truth.count >= 64 and len(set(truth.emoji + truth.table["others"])) == truth.count
    for size in (64, 80, 96, 128, 256):
        assert truth.pictures(size).shape == (truth.count, 3, size, size)
    small, large = truth.pictures(64), F.avg_pool2d(truth.pictures(128), 2)
    assert metrics.psnr(small, large).min() > 18  # the same drawing
    assert len({picture.numpy().tobytes() for picture in small}) == len(small)
    assert set(truth.table["words"]) == set(truth.emoji)


@pytest.mark.parametrize("colour", [-1, 0, 6])
def test_noisy_true_pictures_are_recognised_and_others_are_not(truth, colour):
    true = truth.pictures(64, colour)
    noisy = true + 0.4 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    assert truth.nearest(noisy, colour).tolist() == list(range(len(true)))
    assert truth.nearest(true.roll(1, 0), colour)[0] == len(true) - 1


def test_psnr_is_that_of_its_definition():
    true = torch.zeros(1, 3, 8, 8)
    assert metrics.psnr(true + 0.2, true).item() == pytest.approx(20.0, abs=1e-4)
    assert metrics.psnr(true + 5, true).item() == pytest.approx(10 * torch.tensor(4.0).log10().item(), abs=1e-4)


def test_the_perceptual_distance_grows_with_blur_and_sharpness_falls(truth):
    true = truth.pictures(128)
    blurred = [true] + [F.interpolate(F.avg_pool2d(true, k), 128, mode="bicubic") for k in (2, 4)]
    distances = [metrics.perceptual(picture, true).mean().item() for picture in blurred]
    assert distances[0] == 0 and distances == sorted(distances) and distances[2] > 0.05
    edges = [metrics.sharpness(picture).mean().item() for picture in blurred]
    assert edges == sorted(edges, reverse=True)


def test_repetition_tells_a_tiled_picture_from_a_single_one(truth):
    tiled = truth.pictures(64).repeat(1, 1, 2, 2)
    single = truth.pictures(128)
    assert (metrics.repetition(tiled) > 0.99).all()
    assert (metrics.repetition(tiled) - metrics.repetition(single) > 0.3).float().mean() > 0.9


def test_intervals():
    half = metrics.rate(torch.tensor([True, False] * 50))
    assert half["value"] == 50 and half["low"] == pytest.approx(40.4, abs=0.1) and half["n"] == 100
    assert metrics.rate(torch.ones(64, dtype=torch.bool))["low"] > 94
    spread = metrics.mean(torch.tensor([1.0, 3.0]))
    assert spread["value"] == 2 and spread["high"] - 2 == pytest.approx(1.96)


def test_tables_show_values_with_their_intervals():
    rows = [{"prompts": "en", "identity": {"value": 98.4, "low": 91.7, "high": 99.7, "n": 64}, "seconds": 1.234}]
    assert report.table(rows).splitlines() == [
        "| prompts | identity, % | seconds |",
        "| --- | --- | --- |",
        "| en | 98.4 (91.7–99.7) | 1.23 |",
    ]


def test_bars_name_the_worst_language_and_the_best_method():
    def row(identity, psnr=20.0, gmsd=0.1):
        values = {"identity": identity, "psnr": psnr, "perceptual": gmsd, "one object": 100.0}
        return {key: {"value": value} for key, value in values.items()}

    spoken = [("en", 98.0), ("fr", 80.0), ("emoji", 97.0), ("held-out names", 30.0)]
    larger = [
        ("1× sample, bicubic", 100.0),
        ("1× sample, nearest", 100.0),
        ("ntk_aware", 10.0),
        ("interpolation", 96.0),
    ]
    found = {
        bars.LANGUAGES: [{"prompts": name, **row(identity)} for name, identity in spoken],
        bars.LARGER: [{"size": "2×", "method": name, **row(identity)} for name, identity in larger],
    }
    rows = {row["what"]: (row["measured"], row["met"]) for row in bars.bars(found)}
    assert rows["identity in English, %"] == (98.0, "yes")
    assert rows["identity, mean of the languages, %"] == (89.0, "no")
    assert rows["identity in the worst language (fr), %"] == (80.0, "no")
    assert rows["identity, emoji as prompts, %"] == (97.0, "yes")
    assert rows["2× (interpolation): identity, %"] == (96.0, "yes")
    assert rows["2× (interpolation): GMSD below bicubic's"] == (0.1, "no")


def test_one_command_writes_tables_and_grids(tmp_path, monkeypatch):
    def few(bench):
        return sections.sizes(bench, (2.0,), ("interpolation",), 2)

    untrained_model.write(tmp_path / "model.safetensors")
    monkeypatch.setattr(quality, "SECTIONS", {"Larger sizes": few, "Speed": sections.speed})
    quality.main(
        ["--model", str(tmp_path / "model.safetensors"), "--steps", "1"]
        + ["--text-encoder", str(untrained_text_encoder.write(tmp_path / "text_encoder"))]
        + ["--results", str(tmp_path), "--pictures", str(tmp_path), "--only", "larger"]
    )
    written = json.loads((tmp_path / "quality.json").read_text("utf-8"))
    rows = written["sections"]["Larger sizes"]
    assert [row["method"] for row in rows] == ["1× sample, bicubic", "1× sample, nearest", "interpolation"]
    assert "Speed" not in written["sections"]
    assert "interpolation" in (tmp_path / "quality.md").read_text("utf-8")
    assert (tmp_path / "quality-2x.png").is_file()
