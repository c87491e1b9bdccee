"""Seconds of calls by the device's own events, in turns, and the memory that they take."""

import gc
import math
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..shared.timing import device_name, peak_bytes, synchronise

Calls = dict[str, Callable[[], Tensor]]
SHORT = 0.003
"""Seconds: shorter calls are timed several at once, or the launch would be timed."""


def span(call: Callable[[], Tensor], device: torch.device, repeats: int = 1) -> float:
    """Return the seconds of a call, the mean of `repeats` in a row, between two events on the device."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1000 / repeats


def turns(calls: Calls, device: torch.device, budget: float) -> dict[str, float]:
    """Return the median seconds of warm calls that took turns for about `budget` seconds, three rounds at least."""
    for call in calls.values():
        call()
    synchronise(device)
    once = {name: span(call, device) for name, call in calls.items()}
    repeats = {name: max(1, min(50, math.ceil(SHORT / max(s, 1e-6)))) for name, s in once.items()}
    one_round = sum(once[name] * repeats[name] for name in calls)
    rounds = max(3, min(15, int(budget / max(one_round, 1e-6))))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds):
        for name in list(calls) if i % 2 == 0 else reversed(list(calls)):
            found[name].append(span(calls[name], device, repeats[name]))
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def working(calls: Calls) -> tuple[Calls, dict[str, Tensor], dict[str, BaseException]]:
    """Make each call once; return those that work, what they return, and the errors of the others."""
    found: dict[str, Tensor] = {}
    errors: dict[str, BaseException] = {}
    for name, call in calls.items():
        try:
            found[name] = call()
        except (RuntimeError, ImportError, NotImplementedError, ValueError) as error:
            if "CUDA error" in str(error):
                raise
            errors[name] = error.with_traceback(None)  # whose frames hold tensors
            free()
    return {name: calls[name] for name in found}, found, errors


def peak(call: Callable[[], Tensor], device: torch.device) -> float:
    """Return the most memory in MiB that a call takes at once beside what is there before it."""
    return peak_bytes(call, device) / 2**20


def free() -> None:
    """Give back the card's memory that nothing holds any more."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def error_of(found: Tensor, exact: Tensor) -> float:
    """Return the norm of the difference relative to the norm."""
    return ((found.float() - exact.float()).norm() / exact.float().norm()).item()


def settings(device: torch.device) -> dict[str, Any]:
    """Return what was measured with: card, driver, versions."""
    found: dict[str, Any] = {"card": device_name(device), "driver": driver() if device.type == "cuda" else "none"}
    if device.type == "cuda":
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
        found["CUDA"] = torch.version.cuda
        found["cuDNN"] = torch.backends.cudnn.version()
    return found | {"torch": torch.__version__, "python": platform.python_version()}


def driver() -> str:
    """Ask nvidia-smi for the driver's version."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    question = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(question, capture_output=True, text=True).stdout.split("\n")[0].strip() or "unknown"
