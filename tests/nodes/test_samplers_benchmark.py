"""ComfyUI's samplers as the benchmark runs them: on a velocity, with its schedules, against our own solvers."""

import json
import shutil

import pytest
import torch

from lumina_next.benchmarks.samplers import host, report, run
from lumina_next.samplers import integrate, times
from lumina_next.tests.support import untrained_model, untrained_text_encoder
from lumina_next.tests.support.comfy_server import find_comfyui


def velocity(x, t):
    """The straight flow of noise to a picture that depends on where x lies."""
    return torch.tanh(x) - x * (1 - t)


def noise() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shift", run.SHIFTS)
def test_simple_with_a_shift_is_the_rational_schedule(shift):
    t = host.simple_times(shift, 8).float()
    torch.testing.assert_close(t, times("rational", 8, alpha=shift), atol=2e-3, rtol=0)


def test_core_samplers_follow_the_flow_that_ours_do():
    grid = times("sigmoid", 6)
    euler = host.run("euler", velocity, noise(), 1 - grid)
    torch.testing.assert_close(euler, integrate(velocity, noise(), grid, "euler"), atol=1e-5, rtol=1e-5)
    fine = integrate(velocity, noise(), times("uniform", 200), "rk4")
    torch.testing.assert_close(
        host.run("res_multistep", velocity, noise(), 1 - times("uniform", 100)), fine, atol=0.01, rtol=0
    )
    for name in report.SAMPLERS:
        drawn = host.run(name, velocity, noise(), 1 - grid)
        assert drawn.isfinite().all() and torch.equal(drawn, host.run(name, velocity, noise(), 1 - grid))


def found(**psnr: list[float]) -> list[dict]:
    """Runs with these PSNRs of two prompts with two noises each: SAMPLER_EVALUATIONS=…"""
    rows = []
    for name, values in psnr.items():
        sampler, _, spent = name.rpartition("_")
        schedule = report.USUAL[1] if sampler == report.USUAL[0] else "sigmoid"
        scores = {"psnr": torch.tensor(values), "edges": torch.zeros(4), "identity": torch.ones(4, dtype=torch.bool)}
        rows.append({"evaluations": int(spent), "sampler": sampler, "schedule": schedule, **scores})
    return rows


def test_the_best_is_picked_on_one_half_of_the_noises_and_judged_on_the_other():
    runs = found(res_multistep_4=[20.0] * 4, euler_4=[25.0, 19.0, 25.0, 19.0], midpoint_4=[21.0, 22.0, 21.0, 22.0])
    (best,) = report.best(runs, 2)
    assert best["sampler"] == "euler" and best["PSNR − usual, dB"]["value"] == pytest.approx(-1)
    assert best["as good as usual with"] == "4, euler, sigmoid"
    cheaper = found(res_multistep_4=[20.0] * 4, res_multistep_8=[20.5] * 4, euler_4=[21.0] * 4)
    assert [row["as good as usual with"] for row in report.best(cheaper, 2)] == ["4, euler, sigmoid"] * 2
    rows = report.rows(cheaper, 2)
    assert [round(row["PSNR − usual, dB"]["value"], 6) for row in rows] == [0, 0, 1]


def result(how: str, **psnr: list[float]) -> report.Result:
    runs = found(**psnr)
    settings = {"model": "a", "guidance": 2.0, "runs": {str(run["evaluations"]): how for run in runs}}
    return settings, {report.BEST: report.best(runs, 2), report.ALL: report.rows(runs, 2)}


def test_a_run_can_be_added_to_what_was_measured_elsewhere():
    card = result("on a card", res_multistep_4=[20.0] * 4, euler_4=[21.0] * 4, res_multistep_8=[20.0] * 4)
    here = result("here", res_multistep_8=[30.0] * 4, res_multistep_6=[20.0] * 4, euler_6=[22.0] * 4)
    assert report.merged(({}, {}), here)[0]["runs"] == {"6": "here", "8": "here"}
    settings, sections = report.merged(card, here)
    assert settings["runs"] == {"4": "on a card", "6": "here", "8": "here"}
    assert [(row["evaluations"], row["sampler"]) for row in sections[report.ALL]] == [
        *((4, name) for name in ("res_multistep", "euler")),
        *((6, name) for name in ("res_multistep", "euler")),
        (8, "res_multistep"),
    ]
    assert [row["evaluations"] for row in sections[report.BEST]] == [4, 6, 8]
    assert sections[report.ALL][-1]["psnr"]["value"] == pytest.approx(30)
    told = {"with 4 evaluations": "on a card", "with 6 and 8 evaluations": "here"}
    assert report.told(settings) == {"model": "a", "guidance": 2.0} | told
    lines = report.gains(sections[report.ALL])
    assert [(row["evaluations"], row["sampler"]) for row in lines] == [
        *((n, name) for n in (4, 6) for name in ("euler", "res_multistep")),
        (8, "res_multistep"),
    ]
    assert lines[0]["sigmoid"] == "**1.00**" and lines[0]["simple, shift 3"] == "–" and lines[1]["sigmoid"] == "–"
    other = ({**here[0], "model": "b"}, here[1])
    with pytest.raises(ValueError, match="expected stored results of model b to add to, got a; give another --name"):
        report.merged(card, other)


@pytest.mark.parametrize("name", report.TABLES)
def test_redrawn_from_the_stored_results_nothing_changes(tmp_path, name):
    page, stored = run.ROOT / "docs" / "few_steps.md", run.ROOT / "benchmarks" / "results"
    document = shutil.copy(page, tmp_path / "page.md")
    shutil.copy(stored / f"{name}.json", tmp_path)
    run.main(["--redraw", "--name", name, "--results", str(tmp_path), "--document", str(document)])
    assert document.read_text("utf-8") == page.read_text("utf-8")
    for ending in ("md", "json"):
        assert (tmp_path / f"{name}.{ending}").read_text("utf-8") == (stored / f"{name}.{ending}").read_text("utf-8")


def test_one_command_measures_every_sampler_on_every_schedule(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SHIFTS", (3.0,))
    options = ["--only", "^(?!euler, (sigmoid|rational))"]
    untrained_model.write(tmp_path / "model.safetensors")
    page = tmp_path / "page.md"
    page.write_text("<!-- table: ComfyUI's samplers, the demo -->\n<!-- end -->\n", "utf-8")
    encoder = str(untrained_text_encoder.write(tmp_path / "text_encoder"))
    every = ["--model", str(tmp_path / "model.safetensors"), "--text-encoder", encoder, "--results", str(tmp_path)]
    every += ["--prompts", "2", "--seeds", "2", "--comfyui", str(find_comfyui())]
    every += ["--name", "samplers_demo", "--document", str(page)]
    run.main([*every, "--evaluations", "2", *options])
    assert "| 2 | " in page.read_text("utf-8")
    sections = json.loads((tmp_path / "samplers_demo.json").read_text("utf-8"))["sections"]
    runs = {(row["sampler"], row["schedule"]) for row in sections["All runs"]}
    assert {sampler for sampler, _ in runs} == {*report.SAMPLERS, "midpoint"} and len(runs) == 17
    assert len(sections["Best against the usual"]) == 1
    run.main([*every, "--evaluations", "4", "--add", "--only", "^(euler|res_multistep), simple"])
    added = json.loads((tmp_path / "samplers_demo.json").read_text("utf-8"))["sections"]
    assert added["All runs"][:17] == sections["All runs"] and len(added["All runs"]) == 19
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| 4 | euler")]
    assert len(lines) == 1 and lines[0].split(" | ")[2::2] == ["–", "– |"]  # was not asked for
