"""Measure all that only a GPU can show, within a time: `python -m lumina_next.benchmarks.on_gpu --seconds 780`.

Stages in the order of their worth, each in a process of its own with a hard limit: one that hangs, crashes or meets an
error costs the others nothing. Every row is on disk the moment it is measured, in tables.json and tables.md of
`--results`; called again with the same folder, it measures what is missing. Takes Python 3.12, torch, triton,
transformers, einops and safetensors, no network, and works from a checkout that is not installed:
`python benchmarks/on_gpu`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .tables import NAME, Row, Tables

PACKAGE = __name__.rpartition(".")[0]
STARTING = 40.0
"""Seconds in which a process must have begun its first row: a bare machine reads torch from a cold disk."""


@dataclass(frozen=True)
class Stage:
    """A module with a function `measure`, its seconds, and those that one row may take; None: what is left."""

    module: str
    seconds: float | None = None
    row_seconds: float | None = None
    least: float = 5.0


STAGES = {
    "attention": Stage(".attention", 60, 20),
    "step": Stage(".step", 150, 75),
    "picture": Stage(".picture", 90, 45),
    "choices": Stage(".choices", 50, 40),
    "processor": Stage(".processor", 60, 40),
    "training": Stage(".training", least=10),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seconds", type=float, default=780.0, help="in all")
    add("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="default: all, in this order")
    add("--results", type=Path, default=Path("on-gpu"), help="folder of tables, log and checkpoint")
    add("--device", help="default: cuda, in a rehearsal cpu")
    add("--rehearse", action="store_true", help="every stage with tiny shapes, to see that it runs through")
    add("--diffusers-wheel", type=Path, metavar="FILE", help="to measure against, where diffusers is not installed")
    add("--data", type=Path, metavar="FILE", help="packed by training.data.emoji.pack; default: the demo's pictures")
    add("--run", type=Path, help="folder of the training's state, to go on from; default: in --results")
    options = parser.parse_args(arguments)
    options.device = options.device or ("cpu" if options.rehearse else "cuda")
    options.results = options.results.absolute()
    return options


def main(arguments: list[str] | None = None, path: str = "") -> None:
    """Run the stages; `path` is the folder from which the processes import the pack."""
    options = parse(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        paths = [path, unpacked(options.diffusers_wheel, Path(folder)), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
        ended: list[Row] = []
        for name in options.stages:
            ended.append({"stage": name} | run_stage(STAGES[name], options, end, environment))
            Tables(options.results, {"all": f"{options.seconds:g} s"}).replace("Stages", ended)
            print(*(f"{key} {value}" for key, value in ended[-1].items()), sep=", ", flush=True)
    print((options.results / f"{NAME}.md").read_text("utf-8"))


def unpacked(wheel: Path | None, folder: Path) -> str:
    """Unpack a wheel, if there is one, and return the folder to import it from."""
    if wheel is None:
        return ""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return str(folder)


def run_stage(stage: Stage, options: argparse.Namespace, end: float, environment: dict[str, str]) -> Row:
    """Run a stage until it is done or its time is over, again after a row that took the process along."""
    start = time.monotonic()
    slack = 10 if options.rehearse else 1  # a rehearsal may share a slow processor
    limit = end - start if stage.seconds is None else min(slack * stage.seconds, end - start)
    row_limit = None if stage.row_seconds is None else slack * stage.row_seconds
    if limit < stage.least:
        return {"seconds": 0.0, "limit": max(0.0, limit), "ended": "no time left"}
    outcome, rows = "", -1
    while (left := start + limit - time.monotonic()) > 0.5:
        before, rows = rows, Tables(options.results).count
        if rows == before:  # it would die of the same again
            break
        outcome = supervise(command(stage, options, left), left, row_limit, options.results, environment)
        if outcome in ("done", "out of time"):
            break
    return {"seconds": round(time.monotonic() - start, 1), "limit": round(limit, 1), "ended": outcome}


def command(stage: Stage, options: argparse.Namespace, seconds: float) -> list[str]:
    """Return the command line of a stage's process."""
    words = [sys.executable, "-m", f"{PACKAGE}.stage", stage.module, "--results", str(options.results)]
    words += ["--seconds", f"{seconds:.1f}", "--device", options.device, *["--rehearse"] * options.rehearse]
    for name in ("data", "run"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", str(value)]
    return words


def supervise(
    words: list[str], limit: float, row_limit: float | None, results: Path, environment: dict[str, str]
) -> str:
    """Run a command for `limit` seconds at most, and as long as it writes to the tables; returns how it ended."""
    start, file = time.monotonic(), results / f"{NAME}.json"
    begun = time.time()
    with open(results / "log.txt", "ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            while process.poll() is None:
                if time.monotonic() - start > limit:
                    return "out of time"
                written = file.stat().st_mtime if file.is_file() else 0.0
                silent = time.time() - max(begun, written)
                if row_limit is not None and silent > (row_limit if written > begun else max(STARTING, row_limit)):
                    return "stuck in a row"
                time.sleep(0.1)
        finally:
            end_group(process)
    return "done" if process.returncode == 0 else f"ended with {process.returncode}"


def end_group(process: subprocess.Popen) -> None:
    """End a process and what it has started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:  # all of them have ended
            pass
    else:
        process.kill()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:  # the driver holds it: go on without
        pass
