"""Seconds of a step of the 2B shape, a guidance pair: ours, diffusers', compiled, with context drop, in fp8."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...nextdit import ContextDrop
from ..step.models import FLOAT8, in_8_bits, our_network, their_network
from .networks import DTYPE, TEXT, Networks
from .stage import Setup
from .tables import Row, reason
from .timing import Calls, error_of, free, peak, turns, working

UNEQUAL = (TEXT, 16)


def compared(setup: Setup, nets: Networks, size: str, calls: Calls, lengths=(TEXT, TEXT)) -> Row:
    """Return seconds, ratio, utilisation and memory of our call and of theirs, of which either may be missing."""
    grid = nets.grids[size]
    calls, found, errors = working(calls)
    seconds = dict.fromkeys(("ours", "diffusers"), math.nan) | turns(calls, setup.device, setup.budget(2.0))
    row: Row = {f"{name}, ms": 1000 * value for name, value in seconds.items()}
    row["ratio"] = seconds["diffusers"] / seconds["ours"]
    row |= nets.utilisation(grid, seconds["ours"])
    for name in seconds:
        row[f"{name} peak, MiB"] = peak(calls[name], setup.device) if name in calls else math.nan
    row["difference"] = error_of(found["ours"], found["diffusers"]) if len(found) == 2 else math.nan
    missing = [f"{name}: {reason(error)}" for name, error in errors.items()]
    return row | ({"failed": "; ".join(missing)} if missing else {})


def eager(setup: Setup, nets: Networks, size: str, lengths: tuple[int, int]) -> Row:
    """Ours against diffusers' network, the table of positions outside of its time."""
    inputs = nets.inputs(nets.grids[size], lengths)
    calls: Calls = {"ours": nets.call(inputs)}
    if nets.theirs is not None:
        calls["diffusers"] = nets.their_call(inputs)
    return compared(setup, nets, size, calls)


class Compiled:
    """Both networks compiled layer by layer, all layers by the same code; a rehearsal only traces."""

    def __init__(self, nets: Networks):
        self.nets = nets
        how: dict[str, Any] = {"dynamic": False} | ({"backend": "eager"} if nets.rehearse else {})
        self.theirs = None if nets.theirs is None else their_network(nets.config, DTYPE, nets.device)
        self.ours = our_network(nets.theirs, nets.config) if nets.theirs is not None else again(nets)
        for model in filter(None, (self.ours, self.theirs)):
            for layer in model.get_submodule("layers").children():
                layer.compile(**how)

    def row(self, setup: Setup, size: str) -> Row:
        inputs = self.nets.inputs(self.nets.grids[size])
        calls: Calls = {"ours": self.nets.call(inputs, self.ours)}
        if self.theirs is not None:
            calls["diffusers"] = self.nets.their_call(inputs, self.theirs)
        return compared(setup, self.nets, size, calls)


def again(nets: Networks):
    """Return a second network on the same weights."""
    with torch.device("meta"):
        model = type(nets.ours)(nets.config)
    model.load_state_dict(nets.ours.state_dict(), assign=True)
    return model.eval()


def dropped(setup: Setup, nets: Networks, size: str) -> Row:
    """A step that drops context in all layers against one that drops none."""
    grid = nets.grids[size]
    inputs, drop = nets.inputs(grid), ContextDrop(window=2, fade="none")
    seconds = turns(
        {"whole": nets.call(inputs), "quarter": nets.call(inputs, drop=drop)}, setup.device, setup.budget(1.0)
    )
    row: Row = {"whole context, ms": 1000 * seconds["whole"], "a quarter, ms": 1000 * seconds["quarter"]}
    row["times as fast"] = seconds["whole"] / seconds["quarter"]
    return row | {"ratio of FLOPs": nets.flops(grid) / nets.flops(grid, nets.config.n_layers)}


def in_fp8(setup: Setup, nets: Networks, name: str) -> Row:
    """Weights kept in 8 bits and cast at use, as where a card has no fp8 products."""
    small = in_8_bits(nets.ours, FLOAT8[name])
    inputs = nets.inputs(nets.grids["1024²"])
    calls: Calls = {"bf16": nets.call(inputs), name: partial(small.velocity, inputs.x, inputs.t, inputs.text)}
    seconds = turns(calls, setup.device, setup.budget(1.0))
    row: Row = {"ms": 1000 * seconds[name], "of bf16's time": seconds[name] / seconds["bf16"]}
    row["weights, MiB"] = sum(x.nbytes for x in small.state_dict().values()) / 2**20
    row["peak, MiB"] = peak(calls[name], setup.device)
    return row | {"error": error_of(calls[name](), calls["bf16"]())}


def products(setup: Setup, nets: Networks, name: str) -> Row:
    """The network's largest product in a number format: what a card could do at best."""
    c, rows = nets.config, 64 if setup.rehearse else 32768
    x = torch.randn(rows, c.dim, device=setup.device)
    w = torch.randn(c.ffn_dim, c.dim, device=setup.device) / c.dim**0.5
    call: Callable[[], Tensor]
    if name == "fp8":
        one = torch.ones((), device=setup.device)
        a, b = x.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn).t()
        call = partial(torch._scaled_mm, a, b, scale_a=one, scale_b=one, out_dtype=DTYPE)
    else:
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]
        call = partial(torch.nn.functional.linear, x.to(dtype), w.to(dtype))
    seconds = turns({name: call}, setup.device, setup.budget(0.3))[name]
    return {"ms": 1000 * seconds, "TFLOP/s": 2e-12 * rows * c.dim * c.ffn_dim / seconds}


def measure(setup: Setup) -> None:
    """Write the tables, of every kind the rows of most worth first."""
    nets, add = Networks(setup.device, setup.rehearse), setup.tables.row
    rate = nets.rate
    setup.tables.settings = setup.tables.settings | {"matmul rate": f"{rate / 1e12:.3g} TFLOP/s", "dtype": "bf16"}
    for size in nets.grids:
        add(
            "A step, eager", {"size": size, "text": f"{TEXT} + {TEXT}"}, partial(eager, setup, nets, size, (TEXT, TEXT))
        )
    add("A step, eager", {"size": "1024²", "text": "128 + 16"}, partial(eager, setup, nets, "1024²", UNEQUAL))
    for size in ("1024²", "2048²", "512²"):
        add("Context Drop in all layers", {"size": size}, partial(dropped, setup, nets, size))
    for name in FLOAT8:
        add("8-bit weights, 1024²", {"weights": name}, partial(in_fp8, setup, nets, name))
        free()
    for name in ("bf16", "fp16", "fp8", "fp32"):
        add("The largest product", {"numbers": name}, partial(products, setup, nets, name))
        free()
    compiled = Compiled(nets)
    for size in list(nets.grids)[: 1 if setup.rehearse else None]:
        add("A step, compiled", {"size": size}, partial(compiled.row, setup, size))
