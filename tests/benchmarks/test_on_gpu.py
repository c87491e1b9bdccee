"""The measurements for a GPU: rehearsed on a CPU, in their time whatever happens, right where a CPU can tell."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lumina_next.benchmarks.on_gpu import networks, run, tables, timing, training
from lumina_next.benchmarks.on_gpu.attention import CUDNN_FIRST, WAYS, Case, exact, tensors, with_kernels
from lumina_next.benchmarks.on_gpu.choices import VARIANTS
from lumina_next.benchmarks.on_gpu.stage import Setup
from lumina_next.benchmarks.on_gpu.tables import Tables
from lumina_next.benchmarks.on_gpu.variants import Variant, variant_of
from lumina_next.benchmarks.shared.sections import Bench
from lumina_next.benchmarks.step.models import make_inputs
from lumina_next.nextdit import ContextDrop, NextDiT, load_model
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.training.tasks import image

ROOT = Path(__file__).parents[2]
ROWS = {
    "Self-attention": 6,
    "Attention to the text": 12,
    "A step, eager": 5,
    "Context Drop in all layers": 3,
    "8-bit weights, 1024²": 2,
    "The largest product": 4,
    "A step, compiled": 1,
    "A picture by the command line": 1,
    "Two processes on one device": 1,
    "Decoding": 8,
    "Choices": 10,
    "CUDA graph": 2,
    "A step on the processor": 4,
    "Training": 1,
    "Loss": 6,
    "Stages": 6,
}
CPU = torch.device("cpu")


def stored(folder):
    return json.loads((folder / "tables.json").read_text("utf-8"))


@pytest.mark.timeout(900)
def test_a_rehearsal_runs_to_the_last_line_from_a_checkout_that_is_not_installed(tmp_path):
    words = [sys.executable, str(ROOT / "benchmarks" / "on_gpu"), "--rehearse", "--results", "found"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    log = tmp_path / "found" / "log.txt"
    assert done.returncode == 0, done.stderr
    found = stored(tmp_path / "found")
    sections = found["sections"]
    assert {row["stage"]: row["ended"] for row in sections["Stages"]} == dict.fromkeys(run.STAGES, "done"), (
        log.read_text()
    )
    assert {title: len(rows) for title, rows in sections.items()} == ROWS
    failed = {row["failed"].partition(" need")[0] for rows in sections.values() for row in rows if "failed" in row}
    absent = set() if find_spec("comfy_kitchen") else {"RuntimeError: core's kernels"}
    assert failed == {"RuntimeError: kernels of Triton", "RuntimeError: CUDA graphs"} | absent
    assert all(
        {"card", "driver", "torch"} <= found["measured with"][title].keys() for title in ROWS if title != "Stages"
    )
    assert sections["Two processes on one device"][0]["difference"] < 0.02
    assert all(row["difference"] < 0.02 for row in sections["Choices"] if "failed" not in row)
    assert load_model(tmp_path / "found" / "demo-128.safetensors").config.patch_size == 2
    page = (tmp_path / "found" / "tables.md").read_text("utf-8")
    assert done.stdout.strip().endswith(page.strip()) and all(f"## {title}\n" in page for title in ROWS)


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Run stages made of lines of code in place of the real ones; returns how each ended, and the tables."""

    def run_all(limits, *options, **code):
        made = {}
        for name, lines in code.items():
            body = "import time\n\n\ndef measure(setup):\n    row = setup.tables.row\n    " + lines.replace(
                "\n", "\n    "
            )
            (tmp_path / f"fake_{name}.py").write_text(body + "\n", "utf-8")
            made[name] = run.Stage(f"fake_{name}", *limits)
        monkeypatch.setattr(run, "STAGES", made)
        run.main(["--device", "cpu", "--results", str(tmp_path / "found"), *options], path=str(tmp_path))
        sections = stored(tmp_path / "found")["sections"]
        return {row["stage"]: row["ended"] for row in sections["Stages"]}, sections

    return run_all


FAST = 'row("Fast", {"n": 1}, lambda: {"s": 1.0})'


def test_a_slow_stage_ends_on_time_with_its_rows_and_the_next_runs(stages, tmp_path, monkeypatch):
    def monotonic():
        """A clock on which the stage's time is over as soon as it sleeps."""
        file = tmp_path / "found" / "tables.json"
        asleep = file.is_file() and len(stored(file.parent)["sections"].get("Slow", [])) == 2
        return time.monotonic() + 250 * asleep

    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=monotonic, time=time.time, sleep=time.sleep))
    slow = 'row("Slow", {"n": 1}, lambda: {"s": 1.0})\nrow("Slow", {"n": 2}, lambda: time.sleep(600))'
    ended, sections = stages((240, None, 1), slow=slow, fast=FAST)
    assert ended == {"slow": "out of time", "fast": "done"}
    assert sections["Slow"] == [{"n": 1, "s": 1.0}, {"n": 2, "failed": tables.LOST}] and len(sections["Fast"]) == 1


def test_errors_and_crashes_cost_one_row_and_no_stage(stages):
    raises = "def wrong():\n    raise ValueError('no | such\\nthing')\nrow('Raises', {'n': 1}, wrong)\n"
    raises += "row('Raises', {'n': 2}, lambda: {'s': 2.0})\nraise RuntimeError('at the end')"
    crashes = "import os\nrow('Crashes', {'n': 1}, lambda: os._exit(9))\nrow('Crashes', {'n': 2}, lambda: {'s': 2.0})"
    ended, sections = stages((90, 60, 1), raises=raises, crashes=crashes, fast=FAST)
    assert ended == {"raises": "ended with 1", "crashes": "done", "fast": "done"}
    assert sections["Raises"] == [{"n": 1, "failed": "ValueError: no | such"}, {"n": 2, "s": 2.0}]
    assert sections["Crashes"] == [{"n": 1, "failed": tables.LOST}, {"n": 2, "s": 2.0}]


def test_a_row_that_hangs_is_passed_over(stages, monkeypatch):
    monkeypatch.setattr(run, "STARTING", 60.0)
    hangs = "row('Hangs', {'n': 1}, lambda: time.sleep(600))\nrow('Hangs', {'n': 2}, lambda: {'s': 2.0})"
    ended, sections = stages((120, 1.0, 1), hangs=hangs)
    assert ended == {"hangs": "done"}
    assert sections["Hangs"] == [{"n": 1, "failed": tables.LOST}, {"n": 2, "s": 2.0}]


def test_there_is_an_end_to_all_stages_together(stages):
    ended, sections = stages((60, None, 5), "--seconds", "3", slow="time.sleep(600)", fast=FAST)
    assert ended == {"slow": "no time left", "fast": "no time left"} and "Fast" not in sections


def test_a_second_call_measures_what_is_missing(tmp_path):
    asked = []
    for names in ((1, 2), (1, 2, 3)):
        found = Tables(tmp_path, {"card": "none"})
        for n in names:
            found.row("A", {"n": n}, lambda n=n: asked.append(n) or {"s": float(n)})
    assert asked == [1, 2, 3] and [row["n"] for row in stored(tmp_path)["sections"]["A"]] == [1, 2, 3]


def test_after_an_error_of_the_card_itself_the_process_ends(tmp_path):
    def wrong():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(SystemExit, match="illegal memory access"):
        Tables(tmp_path).row("A", {"n": 1}, wrong)
    assert "illegal memory" in stored(tmp_path)["sections"]["A"][0]["failed"]


def test_rows_with_unequal_columns_make_one_table():
    rows = [{"n": 1, "failed": "a|b"}, {"n": 2, "s": 0.0123456}, {"n": 3, "s": float("nan")}]
    lines = tables.markdown(rows).splitlines()
    assert lines[0] == "| n | s | failed |" and lines[2:] == ["| 1 | – | a/b |", "| 2 | 0.0123 | – |", "| 3 | – | – |"]


def test_calls_take_turns_and_those_that_fail_say_why():
    def wrong():
        raise RuntimeError("no kernel")

    calls, found, errors = timing.working({"good": lambda: torch.ones(1), "bad": wrong})
    assert list(calls) == list(found) == ["good"] and "no kernel" in str(errors["bad"])
    seconds = timing.turns({"a": lambda: time.sleep(0.001), "b": lambda: time.sleep(0.02)}, CPU, 0.1)
    assert 0.001 <= seconds["a"] < seconds["b"]


@pytest.mark.parametrize("keys", ["grouped", "expanded"])
@pytest.mark.parametrize("mask", [None, False, True])
def test_every_way_to_attend_computes_the_same(keys, mask):
    case = Case(24, 8, "fp32", keys, mask)
    torch.manual_seed(0)
    q, k, v, bias = tensors(case, CPU)
    true = exact(q, k, v, bias).float()
    for attend in (WAYS["torch's choice"], WAYS["math"], WAYS["the pack's"], with_kernels(CUDNN_FIRST)):
        torch.testing.assert_close(attend(q, k, v, bias), true, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name, (variant, _) in VARIANTS.items() if variant.kernels != "own"])
def test_variants_compute_what_the_network_does(name):
    if VARIANTS[name][0].kernels:
        pytest.importorskip("comfy_kitchen")
    model = networks.random_network(networks.SMALL, CPU, torch.float32)
    inputs = make_inputs(networks.SMALL, (3, 4), [5, 2], torch.float32, CPU)
    call = (inputs.x, inputs.t, inputs.text, inputs.mask)
    other = variant_of(model, VARIANTS[name][0])
    with torch.no_grad():
        torch.testing.assert_close(other(*call), model(*call), atol=1e-5, rtol=1e-5)
        with pytest.raises(ValueError, match="no context drop"):
            variant_of(model, Variant(merged=True))(*call, drop=ContextDrop(2, "none"))


@pytest.mark.parametrize("how", ["interpret", "compile"])
def test_fused_kernels_are_right_and_compile_for_every_card(how, tmp_path):
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment |= {"TRITON_INTERPRET": "1"} if how == "interpret" else {}
    words = [sys.executable, "-m", "lumina_next.tests.benchmarks.triton_checks", how]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_training_that_cannot_be_compiled_goes_on_without(tmp_path, monkeypatch):
    calls = []

    def started(words, **kwargs):
        calls.append(words)
        (tmp_path / "losses.txt").write_text("0.5\n")
        (tmp_path / "demo-128.safetensors").touch()
        return SimpleNamespace(returncode=int("--compile" in words), stderr="no triton")

    monkeypatch.setattr(training.subprocess, "run", started)
    setup = Setup(
        torch.device("cuda"), Tables(tmp_path, {}), time.monotonic() + 60, data=tmp_path, run=tmp_path, folder=tmp_path
    )
    assert training.train(setup)["compiled"] == "no"
    assert ["--compile" in words for words in calls] == [True, False]
    assert all(words[words.index("--sizes") + 1] == training.SIZES for words in calls)


def test_the_next_demo_fits_what_may_come_back():
    shape = {name.replace("-", "_"): value for name, value in training.SHAPE.items()}
    config = replace(image.demo_config(128), **shape)
    assert 128 // config.patch_size == 64  # positions an axis, as the official models have
    with torch.device("meta"):
        numbers = sum(p.numel() for p in image.initialise(NextDiT(config)).parameters())
    assert 2 * numbers < 16 * 2**20


def test_a_larger_demo_is_judged_at_its_own_size(truth):
    model = networks.random_network(replace(image.demo_config(128), dim=32, n_heads=2, patch_size=2), CPU)
    encoder = load_text_encoder(training.ENCODER)
    bench = Bench(model, encoder, truth, steps=1, base=128)
    assert bench.train_tokens == 64
    assert bench.draw(["fox"]).shape == (1, 3, 128, 128) and bench.draw(["fox"], 32, 64).shape == (1, 3, 32, 64)
