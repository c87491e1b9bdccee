import json

import pytest
import torch
import torch.nn.functional as F

from lumina_next.benchmarks.quality import run as quality
from lumina_next.benchmarks.shared import bars, metrics, report, sections


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


def test_the_edge_distance_forgives_shifts_and_charges_blur_and_hatching(truth):
    true = truth.pictures(128)

    def distance(picture):
        return metrics.edge_distance(picture, true).mean().item()

    assert distance(true) == 0 and distance(-true.roll(1, 0)) > 0.4
    shifted, blurred = true.roll(1, -1), F.interpolate(F.avg_pool2d(true, 2), 128, mode="bicubic")
    assert distance(shifted) < 0.15 < 0.2 < distance(blurred)
    assert metrics.perceptual(shifted, true).mean() > metrics.perceptual(blurred, true).mean()  # GMSD: the other way
    hatched = true.clone()
    hatched[..., ::4, :] = true.roll(4, -1)[..., ::4, :]
    assert distance(hatched) > distance(shifted)


def test_objects_side_by_side_are_counted_and_the_square_stands_around_them(truth):
    pictures = truth.pictures(64)[:8]
    wide = F.pad(pictures, (100, 92, 0, 0), value=1.0)
    count, squares = metrics.objects(wide)
    assert count.tolist() == [1] * 8 and truth.nearest(squares).tolist() == list(range(8))
    gap = torch.ones(8, 3, 64, 32)
    assert metrics.objects(torch.cat([gap, pictures, gap, pictures, gap], -1))[0].tolist() == [2] * 8
    assert metrics.objects(torch.ones(1, 3, 64, 256))[0].tolist() == [0]


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


def test_bars_name_the_worst_language():
    def row(identity):
        return {key: {"value": value} for key, value in (("identity", identity), ("psnr", 20.0))}

    spoken = [("en", 98.0), ("fr", 80.0), ("emoji", 97.0), ("held-out names", 30.0)]
    found = {bars.LANGUAGES: [{"prompts": name, **row(identity)} for name, identity in spoken]}
    rows = {row["what"]: (row["measured"], row["met"]) for row in bars.bars(found)}
    assert rows["identity in English, %"] == (98.0, "yes")
    assert rows["identity, mean of the languages, %"] == (89.0, "no")
    assert rows["identity in the worst language (fr), %"] == (80.0, "no")
    assert rows["identity, emoji as prompts, %"] == (97.0, "yes")


def test_one_command_writes_tables_and_grids(tmp_path, monkeypatch, checkpoint):
    def few(bench):
        return [{"prompts": "en", **bench.scored("en", [0, 1])}]

    monkeypatch.setattr(quality, "SECTIONS", {"Few languages": few, "Speed": sections.speed})
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- table: {x} -->\nold\n<!-- end -->\n" for x in ("Few languages", "Speed", "bars")))
    quality.main([*checkpoint, "--document", str(page), "--only", "few"])
    written = json.loads((tmp_path / "quality.json").read_text("utf-8"))
    assert list(written["sections"]) == ["Few languages"] and "steps 1," in written["settings"]["Few languages"]
    assert "| en |" in (tmp_path / "quality.md").read_text("utf-8")
    assert (tmp_path / "quality-languages.webp").is_file()
    assert "| en |" in page.read_text("utf-8") and page.read_text("utf-8").count("old") == 2
    quality.main([*checkpoint, "--document", str(page), "--only", "speed"])
    written = json.loads((tmp_path / "quality.json").read_text("utf-8"))
    assert list(written["sections"]) == ["Few languages", "Speed"]
    assert "| en |" in page.read_text("utf-8") and "old" not in page.read_text("utf-8")
