"""The size and context-drop benchmarks: what they scale, draw, compare and write."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from lumina_next.benchmarks.context_drop import run as context_drop
from lumina_next.benchmarks.shared import bars, metrics, report
from lumina_next.benchmarks.shared.options import open_bench
from lumina_next.benchmarks.shared.sections import Bench
from lumina_next.benchmarks.sizes import run as sizes
from lumina_next.benchmarks.sizes.rivals import rivals
from lumina_next.nextdit import ContextDrop, RopeScaling, load_model, save_model
from lumina_next.nextdit.layers.rope_scaling import TIME_AWARE_LATE
from lumina_next.tests.support import untrained_model

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def bench(tmp_path, truth):
    untrained_model.write(tmp_path / "model.safetensors")
    return Bench(load_model(tmp_path / "model.safetensors"), None, truth, steps=4)


@pytest.mark.parametrize(
    "spec,height,width,expected",
    [
        ("interpolation", 128, 128, {"method": "interpolation", "factor": 2.0}),
        ("interpolation,per_axis", 64, 256, {"method": "interpolation", "factor": (1.0, 4.0)}),
        ("ntk_aware,proportional", 64, 256, {"method": "ntk_aware", "factor": 2.0, "proportional": True}),
        ("time_aware_late,return_from=0.2,per_axis", 64, 64, {"factor": (1.0, 1.0), "return_from": 0.2}),
    ],
)
def test_a_method_is_told_with_its_options(bench, spec, height, width, expected):
    assert sizes.scaling(spec, height, width, bench) == RopeScaling(train_tokens=bench.train_tokens, **expected)


def test_a_rival_lowers_the_wave_that_fits_once_into_a_training_picture():
    plain = RopeScaling("extrapolation", 2.0, 16).frequencies(64)
    with rivals():
        got = RopeScaling("dominant", 2.0, 16).frequencies(64)
    whole = 2 * math.pi / 16
    changed = (got != plain).nonzero().flatten().tolist()
    assert changed == [(plain / whole).log().abs().argmin()]
    assert got[changed].item() == pytest.approx(0.85 * whole / 2)
    with pytest.raises(ValueError, match="dominant"):
        RopeScaling("dominant")


def test_how_many_prompts_a_size_gets():
    assert sizes.prompt_count(["12", "2×=104"], "2×") == 104 and sizes.prompt_count(["12", "2×=104"], "4×") == 12
    with pytest.raises(ValueError, match="--prompts 2×=3 does not say how many for 4×"):
        sizes.prompt_count(["2×=3"], "4×")


def test_prompts_are_spread_over_concepts_then_over_languages(truth):
    few, concepts = truth.prompts(5)
    assert few == [truth.name(i, "en") for i in concepts] and len(set(concepts)) == 5
    count = len(truth.emoji)
    many, concepts = truth.prompts(count + 3)
    assert concepts[:count] == list(range(count)) and many[count:] == truth.emoji[:3]


def test_the_share_dropped(bench):
    layers = bench.model.config.n_layers
    assert context_drop.dropped(ContextDrop(2, "none"), 8, bench) == 75
    assert context_drop.dropped(ContextDrop(3, "none"), 8, bench) == pytest.approx(100 * (1 - (3 / 8) ** 2))
    faded = [round((1 - step / 4) * layers) for step in range(4)]
    assert context_drop.dropped(ContextDrop(2), 8, bench) == pytest.approx(75 * sum(faded) / (4 * layers))


def found(gmsd, difference=0.01):
    values = {"identity": 96.0, "one object": 94.0, "perceptual": gmsd, "edges": gmsd}
    rows = {key: {"value": value} for key, value in values.items()}
    return rows | {"above default": {"value": difference, "low": difference - 0.005, "high": difference + 0.005}}


def test_a_second_pass_starts_from_the_picture(bench, truth, monkeypatch):
    asked = []
    monkeypatch.setattr(sizes, "scaling", lambda spec, height, width, bench: (height, width))
    monkeypatch.setattr(Bench, "draw", lambda self, prompts, **options: asked.append(options) or options["x"])
    small = truth.pictures(64)[:2]
    drawn, seconds = sizes.passes(bench, ["a", "b"], 5.0, small, 256, "interpolation")
    assert [(x["rope"], x["begin"], x["sampling"].steps) for x in asked] == [
        ((n, n), sizes.BEGIN, 3) for n in (128, 256)
    ]
    assert drawn.shape == (2, 3, 256, 256) and seconds > 5
    large = torch.nn.functional.interpolate(small, (128, 128), mode="bicubic", align_corners=False)
    left = (asked[0]["x"] - sizes.BEGIN * large) / (1 - sizes.BEGIN)
    assert left.std().sub(1).abs() < 0.01 and left.mean().abs() < 0.02


def test_bars_of_the_default_at_twice_the_size():
    again = f"{bars.AGAIN}, interpolation"
    values = {
        "1× sample, bicubic": (0.25, -0.1),
        TIME_AWARE_LATE: (0.2, 0),
        "interpolation": (0.19,),
        "ntk_aware": (0.3,),
    }
    rows = [{"method": name, **found(*value)} for name, value in (values | {again: (0.24, -0.05)}).items()]
    rows[1]["above bicubic"], rows[4]["above bicubic"] = {"high": -0.04}, {"high": 0.001}
    met = {row["what"].removeprefix(f"2× ({TIME_AWARE_LATE}): "): row["met"] for row in bars.size_bars({"2×": rows})}
    assert (
        met["identity, %"] == "yes"
        and met["exactly one object, %"] == "no"
        and met["edge distance below bicubic's"] == "yes"
    )
    of_gmsd = "GMSD − bicubic's, upper end of the interval"
    assert met[of_gmsd] == "yes" and met[f"2× ({again}): {of_gmsd}"] == "no"
    better = f"2×: published methods whose GMSD is below {TIME_AWARE_LATE}'s by more than chance"
    assert met[better] == "yes"
    rows[2] |= found(0.19, -0.01)
    rows.append({"method": bars.SHARPENED, **found(0.18, -0.02), "above bicubic": {"high": -0.05}})  # ours
    assert {row["what"]: row["measured"] for row in bars.size_bars({"2×": rows})}[better] == 1
    assert bars.size_bars({"2×": rows[2:]}) == []
    sharpened = rows[1] | {"method": bars.SHARPENED, "one object": {"value": 100.0}}
    met = {row["what"]: row["met"] for row in bars.size_bars({"2×": [*rows, sharpened]})}
    assert met[f"2× ({bars.SHARPENED}): exactly one object, %"] == "yes"


def test_one_command_writes_the_sizes_tables_grids_and_document(tmp_path, checkpoint):
    document = shutil.copy(DOCS / "larger_sizes.md", tmp_path / "document.md")
    options = ["--sizes", "1.5×", "1:2", "--rope", TIME_AWARE_LATE, "interpolation", "--prompts", "2", "1:2=1"]
    sizes.main([*checkpoint, *options, "--document", str(document)])
    written = json.loads((tmp_path / "sizes.json").read_text("utf-8"))["sections"]
    assert [row["method"] for row in written["1.5×"]] == [
        "1× sample, bicubic",
        "1× sample, nearest",
        TIME_AWARE_LATE,
        "interpolation",
        f"{bars.AGAIN}, interpolation",
        f"{bars.AGAIN}, {TIME_AWARE_LATE}",
    ]
    assert [row["method"] for row in written["1:2"]][2:] == [f"{TIME_AWARE_LATE},per_axis", "interpolation,per_axis"]
    assert all(row["seconds"] > written["1.5×"][0]["seconds"] for row in written["1.5×"][4:])
    assert written["1.5×"][0]["above bicubic"]["value"] == 0
    for key in ("above default", "edges above default"):
        assert written["1.5×"][2][key] == {"value": 0, "low": 0, "high": 0, "n": 2}
    sizes.main(
        [*checkpoint, "--sizes", "1:2", "--rope", TIME_AWARE_LATE, "--prompts", "1", "--document", str(document)]
    )
    again = json.loads((tmp_path / "sizes.json").read_text("utf-8"))["sections"]
    assert again["1.5×"] == written["1.5×"] and len(again["1:2"]) < len(written["1:2"])
    assert "| interpolation |" in Path(document).read_text("utf-8")
    assert (tmp_path / "sizes-1.5x.webp").is_file() and (tmp_path / "sizes-1-2.webp").is_file()


def test_one_command_writes_the_context_drop_tables_and_plot(tmp_path, checkpoint):
    document = shutil.copy(DOCS / "context_drop.md", tmp_path / "document.md")
    options = ["--sizes", "1×", "--windows", "2", "--prompts", "1", "--document", str(document)]
    context_drop.main([*checkpoint, *options])
    rows = json.loads((tmp_path / "context_drop.json").read_text("utf-8"))["sections"]["1×"]
    ways = [(row["window"], row["fade"], row["pooled"]) for row in rows]
    assert ways == [("none", "", ""), ("2 × 2", "linear, from t = 0.2", "after RoPE")] + [
        ("2 × 2", fade, f"{where} RoPE") for fade in ("linear", "none") for where in ("after", "before")
    ]
    assert rows[0]["lost"]["value"] == 0 and all(row["seconds"] > 0 for row in rows)
    assert (tmp_path / "context_drop.svg").read_text().count('id="mark-') == len(rows)
    assert "| 2 × 2 | linear | after RoPE |" in (tmp_path / "context_drop.md").read_text("utf-8")
    assert "| 2 × 2 | linear |" in Path(document).read_text("utf-8")


@pytest.mark.parametrize("name,titles", [("larger_sizes", [sizes.SUMMARY]), ("context_drop", context_drop.FACTORS)])
def test_the_documents_have_a_place_for_every_table(name, titles):
    text = (DOCS / f"{name}.md").read_text("utf-8")
    assert all(f"<!-- table: {title} -->" in text for title in titles)


def test_a_document_without_the_place_is_an_error(tmp_path):
    file = tmp_path / "some.md"
    file.write_text("no tables here")
    with pytest.raises(ValueError, match="has no <!-- table: 2× -->"):
        report.fill_document(file, {"2×": "| a |"})


def test_measures_of_wide_pictures_are_those_of_the_square_around_the_object(bench, truth):
    true = truth.pictures(64)[:4]
    measured = sizes.measures(bench, sizes.alone(true, 256), [0, 1, 2, 3])
    assert measured["identity"].all() and measured["one object"].all() and "repetition" not in measured
    twice = torch.cat([sizes.alone(true, 128), sizes.alone(true, 128)], -1)
    assert not sizes.measures(bench, twice, [0, 1, 2, 3])["one object"].any()
    assert metrics.objects(twice)[0].tolist() == [2] * 4


@pytest.mark.parametrize(
    "said,asked,base", [({}, [], 64), ({"train_tokens": "32"}, [], 128), ({}, ["--size", "96"], 96)]
)
def test_once_is_the_size_that_the_checkpoint_was_trained_on(tmp_path, checkpoint, said, asked, base):
    file = tmp_path / "model.safetensors"
    save_model(load_model(file).bfloat16(), file, said)
    bench, _ = open_bench(sizes.parse([*checkpoint, *asked]))
    assert (bench.base, bench.train_tokens) == (base, base // 4)
    assert sizes.scaling("interpolation", 2 * base, 2 * base, bench).factor == 2
