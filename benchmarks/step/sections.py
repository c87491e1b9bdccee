"""What `step.py` measures, one function a table; each returns rows of equal keys."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...nextdit import ContextDrop, NextDiT
from ...nextdit.layers.attend import Attend, default_attend, sdpa
from ..shared.flops import step_flops
from ..shared.timing import peak_bytes
from .bench import Bench, Grid
from .models import DTYPES, FLOAT8, in_8_bits, make_inputs, our_network, their_network

Rows = list[dict[str, Any]]


def pixels(bench: Bench, grid: Grid) -> str:
    """Return the size of the picture that a grid of (rows, columns) stands for."""
    side = 8 * bench.config.patch_size
    return f"{grid[1] * side}×{grid[0] * side}"


def error(ours: Tensor, exact: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return ((ours.float() - exact.float()).abs().max() / exact.float().abs().max()).item()


def with_compiled_layers(model: nn.Module) -> nn.Module:
    """Compile a network layer by layer, all by the same code: compiled as a whole it takes minutes."""
    for layer in model.get_submodule("layers").children():
        layer.compile(dynamic=False)
    return model


def results(calls: dict[str, Callable[[], Tensor]]) -> dict[str, Tensor]:
    """Return what the calls return, without those that do not find the memory that they need."""
    found = {}
    for name, call in calls.items():
        try:
            found[name] = call()
        except torch.OutOfMemoryError:
            continue
    return found


def sizes(bench: Bench) -> Rows:
    """Ours against diffusers' over sizes; both also compiled if asked for. What needs too much memory has no figure."""
    rows = []
    if bench.compile:
        compiled = with_compiled_layers(our_network(bench.theirs, bench.config))
        their_compiled = with_compiled_layers(their_network(bench.config, bench.dtype, bench.device))
    for grid in bench.grids:
        inputs = bench.inputs(grid)
        calls = {"ours": bench.call(inputs), "diffusers": bench.their_call(inputs)}
        if bench.compile:
            calls["ours compiled"] = bench.call(inputs, compiled)
            calls["diffusers compiled"] = bench.their_call(inputs, their_compiled)
        found = results(calls)
        fitting = {name: call for name, call in calls.items() if name in found}
        bench.calibrate()
        times = dict.fromkeys(calls, math.nan) | bench.times(fitting)
        bench.calibrate()
        peaks = dict.fromkeys(calls, math.nan)
        peaks |= {name: peak_bytes(call, bench.device) / 2**20 for name, call in fitting.items()}
        row = {"size": pixels(bench, grid), "tokens": grid[0] * grid[1]}
        row |= {f"{name}, s": value for name, value in times.items()}
        row["ratio"] = times["diffusers"] / times["ours"]
        if bench.compile:
            row["ratio compiled"] = times["diffusers compiled"] / times["ours compiled"]
        row |= bench.utilisation(grid, times["ours"])
        row |= {f"{name} peak, MiB": peaks[name] for name in ("ours", "diffusers")}
        both = "ours" in found and "diffusers" in found
        row["largest difference"] = error(found["ours"], found["diffusers"]) if both else math.nan
        rows.append(row)
    return rows


def accuracy(bench: Bench) -> Rows:
    """How far either is from the same network in float32."""
    grid = bench.grids[0]
    inputs = bench.inputs(grid)
    exact_inputs = replace(inputs, x=inputs.x.float(), text=inputs.text.float())
    theirs = their_network(bench.config, bench.dtype, bench.device).float()
    exact = bench.their_call(exact_inputs, theirs)()
    calls = {"ours": bench.call(inputs), "ours, sdpa": bench.call(inputs, attend=sdpa)}
    calls["diffusers"] = bench.their_call(inputs)
    return [
        {"network": name, "largest error": error(call(), exact), "mean error": mean_error(call(), exact)}
        for name, call in calls.items()
    ]


def first_of(calls: list[Callable[[], Tensor]]) -> Tensor:
    """Make all calls and return what the first returns."""
    return [call() for call in calls][0]


def mean_error(ours: Tensor, exact: Tensor) -> float:
    """Return the norm of the difference relative to the norm."""
    return ((ours.float() - exact.float()).norm() / exact.float().norm()).item()


def dtypes(bench: Bench) -> Rows:
    """Our network in other number formats; 8-bit weights are cast at use."""
    grid = bench.grids[0]
    networks = {"fp32": our_network(their_network(bench.config, torch.float32, bench.device), bench.config)}
    networks["bf16"] = our_network(their_network(bench.config, torch.bfloat16, bench.device), bench.config)
    networks |= {name: in_8_bits(networks["bf16"], dtype) for name, dtype in FLOAT8.items()}
    lengths = [bench.text] * bench.batch
    calls: dict[str, Callable[[], Tensor]] = {}
    for name, network in networks.items():
        inputs = make_inputs(bench.config, grid, lengths, DTYPES[name], bench.device)
        calls[name] = partial(network.velocity, inputs.x, inputs.t, inputs.text, inputs.mask)
    times, exact = bench.times(calls), calls["fp32"]()
    return [
        {
            "weights": name,
            "weights, MiB": sum(x.nbytes for x in networks[name].state_dict().values()) / 2**20,
            "seconds": times[name],
            "peak, MiB": peak_bytes(calls[name], bench.device) / 2**20,
            "mean error": mean_error(calls[name](), exact),
        }
        for name in networks
    ]


def batches(bench: Bench) -> Rows:
    """A guidance pair in one call and in two, with prompts of equal and of unequal length."""
    grid, rows = bench.grids[0], []
    for lengths in ([bench.text, bench.text], [bench.text, 8]):
        pair = bench.inputs(grid, lengths)
        apart = [bench.call(bench.inputs(grid, [length])) for length in lengths]
        calls: dict[str, Callable[[], Tensor]] = {"one call": bench.call(pair), "two calls": partial(first_of, apart)}
        calls["diffusers"] = bench.their_call(pair)
        times = bench.times(calls)
        row: dict[str, Any] = {"text tokens": " + ".join(map(str, lengths))}
        row |= {f"{name}, s": value for name, value in times.items()}
        rows.append(row | {"ratio": times["diffusers"] / times["one call"]})
    return rows


def texts(bench: Bench) -> Rows:
    """Longer texts, and what their keys and values, which are the same in every step, take of it."""
    rows, grid = [], bench.grids[0]
    for length in (16, 64, 256):
        inputs = bench.inputs(grid, [length] * bench.batch)
        calls = {"step": bench.call(inputs), "diffusers": bench.their_call(inputs)}
        calls["keys and values"] = partial(text_keys, bench.ours, inputs.text)
        times = bench.times(calls)
        row = {"text tokens": length} | {f"{name}, s": value for name, value in times.items()}
        rows.append(row | {"share, %": 100 * times["keys and values"] / times["step"]})
    return rows


def text_keys(model: NextDiT, text: Tensor) -> Tensor:
    """Compute what every layer makes of the text, and nothing else; returns the last layer's keys."""
    for layer in model.layers:
        attention, normed = layer.attention, layer.attention_y_norm(text)
        keys, _ = attention.ky_norm(attention.wk_y(normed)), attention.wv_y(normed)
    return keys


def context_drop(bench: Bench) -> Rows:
    """A step that drops context in all layers against one that drops none."""
    rows = []
    for grid in bench.grids:
        inputs = bench.inputs(grid)
        drop = ContextDrop(window=2, fade="none")
        times = bench.times({"whole": bench.call(inputs), "dropped": bench.call(inputs, drop=drop)})
        whole = step_flops(bench.config, grid, bench.text, bench.batch)
        rows.append(
            {
                "size": pixels(bench, grid),
                "whole context, s": times["whole"],
                "a quarter, s": times["dropped"],
                "ratio": times["whole"] / times["dropped"],
                "ratio of FLOPs": whole
                / step_flops(bench.config, grid, bench.text, bench.batch, bench.config.n_layers),
            }
        )
    return rows


def expanded(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend as the public implementations do, with keys and values repeated for every query head."""
    repeats = q.shape[1] // k.shape[1]
    return sdpa(q, k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1), mask)


def backends(bench: Bench) -> Rows:
    """The ways to attend."""
    ways: dict[str, Attend] = {"default": default_attend, "sdpa": sdpa, "sdpa, keys expanded": expanded}
    inputs = bench.inputs(bench.grids[min(1, len(bench.grids) - 1)])
    calls = {name: bench.call(inputs, attend=attend) for name, attend in ways.items()}
    times, exact = bench.times(calls), calls["sdpa"]()
    return [
        {"attention": name, "seconds": times[name], "difference to sdpa": error(calls[name](), exact)} for name in calls
    ]
