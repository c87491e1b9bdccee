"""ComfyUI's samplers as the benchmark runs them: on a velocity, with its schedules, against our own solvers."""

import json

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
    for name in host.SAMPLERS:
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


def test_one_command_measures_every_sampler_on_every_schedule(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SHIFTS", (3.0,))
    options = ["--only", "^(?!euler, (sigmoid|rational))"]
    untrained_model.write(tmp_path / "model.safetensors")
    page = tmp_path / "page.md"
    page.write_text("<!-- table: ComfyUI's samplers, the demo -->\n<!-- end -->\n", "utf-8")
    encoder = str(untrained_text_encoder.write(tmp_path / "text_encoder"))
    run.main(
        ["--model", str(tmp_path / "model.safetensors"), "--text-encoder", encoder, "--results", str(tmp_path)]
        + ["--prompts", "2", "--seeds", "2", "--evaluations", "2", "--comfyui", str(find_comfyui())]
        + ["--name", "samplers_demo", "--document", str(page), *options]
    )
    assert "| 2 | " in page.read_text("utf-8")
    sections = json.loads((tmp_path / "samplers_demo.json").read_text("utf-8"))["sections"]
    runs = {(row["sampler"], row["schedule"]) for row in sections["All runs"]}
    assert {sampler for sampler, _ in runs} == {*host.SAMPLERS, "midpoint"} and len(runs) == 17
    assert len(sections["Best against the usual"]) == 1
