import json
from time import monotonic, sleep

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lumina_next.benchmarks.shared.flops import step_flops
from lumina_next.benchmarks.shared.peak import PeakMemory
from lumina_next.benchmarks.shared.timing import alternate, product_rate
from lumina_next.benchmarks.step import run as step
from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig
from lumina_next.nextdit.call import Call

CONFIGS = [
    NextDiTConfig(dim=96, n_layers=3, n_heads=4, n_kv_heads=2, text_dim=40),
    NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=4, text_dim=24, in_channels=3, out_channels=3),
]


def plain(q, k, v, mask=None):
    """Attention as two products, which the counter sees."""
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    return (q @ k.transpose(-1, -2)).softmax(-1) @ v


@pytest.mark.parametrize("dropped", [0, 1, 2])
@pytest.mark.parametrize("grid", [(6, 8), (5, 3)])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_formula_counts_what_torch_counts(config, grid, dropped):
    model = NextDiT(config, device="meta")
    x = torch.empty(2, config.in_channels, 2 * grid[0], 2 * grid[1], device="meta")
    text, t = torch.empty(2, 7, config.text_dim, device="meta"), torch.empty(2, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.velocity(x, t, text, call=Call(attend=plain, drop=ContextDrop(2, "none"), dropped_layers=dropped))
    assert counter.get_total_flops() == step_flops(config, grid, 7, 2, dropped)


def test_the_peak_is_that_of_tensors_alive_together():
    with PeakMemory() as memory:
        a = torch.zeros(1000)  # 4000 bytes
        b = a * 2
        a.add_(1).view(10, 100)
        del a
        c = b.double()  # 8000 bytes, when 4000 are free again
        del b, c
    assert (memory.peak, memory.now) == (12000, 0)


def test_a_row_takes_no_more_time_than_it_may():
    calls, device = {"a": lambda: sleep(0.02), "b": lambda: sleep(0.02)}, torch.device("cpu")
    assert [len(times) for times in alternate(calls, device, 4).values()] == [4, 4]
    assert [len(times) for times in alternate(calls, device, 50, budget=0.1).values()] in ([1, 1], [2, 2])
    assert [len(times) for times in alternate(calls, device, 50, budget=0.001).values()] == [1, 1]


def test_a_product_is_warm_when_it_is_timed():
    called = []
    started = monotonic()
    rate = product_rate(lambda: called.append(monotonic()) or sleep(0.01), 100.0, torch.device("cpu"))
    assert len([at for at in called if at - started > 0.45]) >= 5
    assert 5000 < rate <= 10000


def test_one_command_writes_tables(tmp_path, monkeypatch):
    monkeypatch.setitem(step.SHAPES, "small", CONFIGS[0])
    monkeypatch.setitem(step.GRIDS, "small", [(4, 4), (8, 2)])
    step.main(["--quick", "--no-compile", "--name", "found", "--results", str(tmp_path)])
    written = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert list(written["sections"]) == list(step.SECTIONS)
    for row in written["sections"]["Sizes"]:
        assert row["ours, s"] > 0 and row["largest difference"] < 0.1
        assert 0 < row["of the matmul rate, %"] < 110
        assert row["TFLOP"] == pytest.approx(step_flops(CONFIGS[0], (4, 4), 64) / 1e12, rel=0.3)
    assert "| size |" in (tmp_path / "found.md").read_text("utf-8")
