"""Where a step's time goes on the machine's processor: one layer of the 2B width, and both ways to attend.

Machines with a GPU often have AMX, where PyTorch's own attention multiplies in bfloat16 and ours is left aside.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ...nextdit.call import Call
from ...nextdit.config import PRESETS
from ...nextdit.layers.attend import Attend, sdpa
from ...nextdit.layers.cpu_rows import attend_by_rows, cpu_has
from ..shared.flops import step_flops
from ..shared.timing import Calls, device_name, medians, product_rate
from ..step.models import make_inputs
from .networks import DTYPE, SMALL, random_network
from .stage import Setup
from .tables import Row

CPU = torch.device("cpu")
TITLE = "A step on the processor"
TEXT = 64
SHOWN = 4
"""Operations that a row names, those that take longest."""


def in_rows(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend in blocks of rows wherever that computes the same."""
    return attend_by_rows(q, k, v) if mask is None and k.shape[2] > TEXT else sdpa(q, k, v, mask)


WAYS: dict[str, Attend] = {"PyTorch's": sdpa, "blocks of rows": in_rows}


def longest(call) -> str:
    """Return the operations of a call that take longest, with their shares of the time in percent."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        call()
    spent = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    whole = sum(spent.values())
    first = sorted(spent, key=lambda key: -spent[key])[:SHOWN]
    return ", ".join(f"{key.removeprefix('aten::')} {100 * spent[key] / whole:.0f} %" for key in first)


def step(setup: Setup, side: int, threads: int) -> list[Row]:
    """Time a step with each way to attend, in turns, and say where each spends it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        config = replace(SMALL if setup.rehearse else PRESETS["2B"], n_layers=1)
        model = random_network(config, CPU)
        inputs = make_inputs(config, (side, side), [TEXT], DTYPE, CPU)
        rows = 64 if setup.rehearse else 2048
        product = partial(model.layers[0].feed_forward.w1, torch.randn(rows, config.dim).to(DTYPE))
        rate = product_rate(product, 2.0 * rows * config.dim * config.ffn_dim, CPU)
        calls: Calls = {
            name: partial(model.velocity, inputs.x.to(DTYPE), inputs.t, inputs.text, call=Call(attend=way))
            for name, way in WAYS.items()
        }
        seconds = medians(calls, CPU, 1 if setup.rehearse else 5, budget=setup.budget(8.0))
        flops = step_flops(config, (side, side), TEXT, 1)
        return [
            {"attention": name, "ms": 1000 * seconds[name], "of the matmul rate, %": 100 * flops / seconds[name] / rate}
            | {"longest": longest(calls[name])}
            for name in WAYS
        ]
    finally:
        torch.set_num_threads(before)


def measure(setup: Setup) -> None:
    """Write the table, a row a way; one thread first."""
    amx = "yes" if cpu_has("amx_tile") else "no"
    setup.tables.settings = setup.tables.settings | {"processor": device_name(CPU), "AMX": amx}
    for threads in (1, torch.get_num_threads()) if torch.get_num_threads() > 1 and not setup.rehearse else (1,):
        for side in (8, 12) if setup.rehearse else (32, 64):
            key = {"tokens": side * side, "threads": threads}
            if any(key.items() <= row.items() for row in setup.tables.sections.get(TITLE, [])):
                continue
            for row in step(setup, side, threads):
                setup.tables.row(TITLE, key | {"attention": row.pop("attention")}, partial(dict, row))
