"""Seconds and memory of calls on any device, fair between them: they take turns."""

import gc
import math
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from .peak import PeakMemory

Calls = dict[str, Callable[[], Tensor]]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""What counts as a second: on a machine that others use too, the processor's own seconds, with one thread."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], Tensor], device: torch.device, clock: str = "wall") -> float:
    """Return how long one call takes, until its result is there."""
    synchronise(device)
    start = CLOCKS[clock]()
    call()
    synchronise(device)
    return CLOCKS[clock]() - start


def alternate(
    calls: Calls, device: torch.device, rounds: int, clock: str = "wall", budget: float = math.inf
) -> dict[str, list[float]]:
    """Time each of the calls once a round, after one round that does not count; the order turns round every time.

    There are fewer rounds than asked for, but one at least, where those would take more than `budget` seconds.
    """
    start = time.perf_counter()
    for call in calls.values():
        call()
    synchronise(device)
    rounds = max(1, min(rounds, int(min(budget / (time.perf_counter() - start), rounds))))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds):
        for name in list(calls) if i % 2 == 0 else reversed(list(calls)):
            found[name].append(seconds(calls[name], device, clock))
    return found


def medians(
    calls: Calls, device: torch.device, rounds: int, clock: str = "wall", budget: float = math.inf
) -> dict[str, float]:
    """Return the median seconds of calls that took turns."""
    return {name: statistics.median(times) for name, times in alternate(calls, device, rounds, clock, budget).items()}


def peak_bytes(call: Callable[[], Tensor], device: torch.device) -> int:
    """Return the most memory that a call takes at once beside what is there before it."""
    gc.collect()
    if device.type != "cuda":
        with PeakMemory() as memory:
            call()
        return memory.peak
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) - before


def product_rate(product: Callable[[], Tensor], flops: float, device: torch.device, clock: str = "wall") -> float:
    """Return the operations a second of a matrix product, the best of five after half a second that does not count.

    A processor takes that long to reach its clock, and the first calls of a product to choose its kernel.
    """
    start = time.perf_counter()
    while time.perf_counter() - start < 0.5:
        product()
        synchronise(device)
    return flops / min(seconds(product, device, clock) for _ in range(5))


def device_name(device: torch.device) -> str:
    """Return what the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    except FileNotFoundError:  # not Linux
        pass
    return f"{name}, {torch.get_num_threads()} threads"
