"""The few-step benchmark's own sums, and one whole run on an untrained network."""

import json

import pytest
import torch

from lumina_next.benchmarks.few_steps import report as few_steps_report
from lumina_next.benchmarks.few_steps import run as few_steps
from lumina_next.samplers import stages
from lumina_next.tests.support import untrained_model, untrained_text_encoder


def test_every_run_spends_just_its_evaluations():
    runs = list(few_steps.runs((4, 6, 10)))
    assert all(steps * stages(method) == spent for spent, _, method, steps in runs)
    assert {method for spent, _, method, _ in runs if spent == 4} == set(few_steps.METHODS)
    assert not [run for run in runs if run[0] == 6 and run[2] == "rk4"]


def run(nfe, schedule, solver, error, psnr):
    error, psnr = torch.tensor(error), torch.tensor(psnr)
    return {"NFE": nfe, "schedule": schedule, "solver": solver, "error": error, "psnr": psnr}


@pytest.mark.parametrize(
    ("error", "psnr", "by_error", "by_psnr"),
    [
        ([0.1, 0.12, 0.11], [20.0, 21.0, 22.0], "yes", "yes"),
        ([0.4, 0.44, 0.42], [18.0, 18.9, 20.1], "no", "no"),
        ([0.1, 0.3, 0.2], [18.0, 21.0, 21.0], "within the interval", "within the interval"),
    ],
)
def test_bars_compare_the_same_pictures(error, psnr, by_error, by_psnr):
    runs = [run(6, "measured", "euler", error, psnr), run(10, "uniform", "euler", [0.2] * 3, [19.0, 20.0, 21.0])]
    (row,) = few_steps_report.bars({"runs": runs})
    assert row["run"] == "measured + euler at 6" and row["against"] == "uniform + euler at 10"
    assert (row["reached, by error"], row["reached, by PSNR"]) == (by_error, by_psnr)


def test_a_whole_run(tmp_path):
    model, encoder = tmp_path / "model.safetensors", tmp_path / "text"
    untrained_model.write(model)
    untrained_text_encoder.write(encoder)
    files = ["--model", str(model), "--text-encoder", str(encoder)]
    sizes = ["--prompts", "2", "--measured", "1", "--reference", "1", "--check", "1", "--evaluations", "4"]
    page = tmp_path / "page.md"
    page.write_text("<!-- table: Euler -->\nold\n<!-- end -->\n")
    where = ["--results", str(tmp_path), "--pictures", str(tmp_path), "--document", str(page)]
    few_steps.main([*files, *sizes, *where])
    found = json.loads((tmp_path / "few_steps.json").read_text())
    assert len(found["sections"]["All runs"]) == len(list(few_steps.runs((4,))))
    assert found["schedules"]["euler, 4 steps"][0] == 0 and found["schedules"]["euler, 4 steps"][-1] == 1
    assert "## Reference" in (tmp_path / "few_steps.md").read_text()
    assert "evaluations" in page.read_text("utf-8") and "old" not in page.read_text("utf-8")
    assert (tmp_path / "few_steps.svg").read_text("utf-8").count('id="line2d') >= 2 * len(few_steps.SCHEDULES)
