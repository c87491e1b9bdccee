"""Train the demo's next size for the time that is left: 128 px, 64 positions an axis, in bfloat16.

What comes out is a checkpoint of less than 16 MiB, saved every minute, and the curve of the loss; what it can draw is
judged afterwards, on a CPU, by benchmarks.quality.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ...training.data.emoji.pack import pack_demo
from .stage import Setup
from .tables import Row

PACK = __name__.partition(".benchmarks")[0]
ENCODER = Path(__file__).parents[2] / "demo" / "text_encoders" / "lumina-next-demo"
STARTING = 25.0
"""Seconds to leave for start, compilation and the last save, of which the trainer does not know."""
SHAPE = {"dim": 256, "n-layers": 8, "n-heads": 4, "n-kv-heads": 1, "ffn-dim": 640, "time-dim": 256, "patch-size": 2}
PLAN = {"train-pixels": 128, "tokens": 65536, "rate": 2e-3, "muon": 4e-3, "cooldown": 0.5, "average": 0.997}
SIZES = "32x32,64x64,128x128"  # each is compiled for itself; pairs would be two more
SMALL_SHAPE = SHAPE | {"dim": 32, "n-layers": 2, "n-heads": 2, "ffn-dim": 64, "time-dim": 32}
SMALL_PLAN = PLAN | {"tokens": 512, "sizes": "32x32"}
STEPS = 6000  # as many as seven minutes of one H100 are thought to hold; a rehearsal makes a thousandth
POINTS = 30


def words_of(setup: Setup, data: Path, run: Path, compiles: bool) -> list[str]:
    """Return the command of the training."""
    plan = (SMALL_SHAPE | SMALL_PLAN) if setup.rehearse else (SHAPE | PLAN | {"sizes": SIZES})
    words = [sys.executable, "-m", f"{PACK}.training.tasks.image", "--cache", str(data), "--run", str(run)]
    words += ["--text-encoder", str(ENCODER), "--out", str(setup.folder / "demo-128.safetensors")]
    words += ["--device", str(setup.device), "--title", "Lumina-Next demo, 128 px", "--save-every", "1"]
    words += [word for name, value in plan.items() for word in (f"--{name}", str(value))]
    words += ["--no-samples", "--compile" if compiles else "--no-compile"]
    minutes = max(0.1, (setup.left - STARTING) / 60)
    if setup.rehearse:
        return [*words, "--steps", str(STEPS // 1000)]
    return [*words, "--steps", "1000000", "--plan-minutes", f"{minutes:.2f}"]


def train(setup: Setup) -> Row:
    """Train, or go on training, and return what became of it. Raises RuntimeError if the trainer fails."""
    run = setup.run or setup.folder / "training"
    run.mkdir(parents=True, exist_ok=True)
    data = setup.data
    if data is None:
        data = run / "demo.npz"
        if not data.is_file():
            pack_demo(data)
    start = time.monotonic()
    for compiles in (False,) if setup.rehearse else (True, False):  # where it cannot be compiled, it goes on without
        done = subprocess.run(words_of(setup, data, run, compiles), capture_output=True, text=True)
        if not done.returncode:
            break
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-1:]) or f"ended with {done.returncode}")
    losses = np.loadtxt(run / "losses.txt", ndmin=1)
    curve(setup, losses)
    return {
        "data": data.name,
        "steps": len(losses),
        "compiled": "yes" if compiles else "no",
        "s": time.monotonic() - start,
        "tokens a step": (SMALL_PLAN if setup.rehearse else PLAN)["tokens"],
        "loss, last tenth": float(losses[-max(1, len(losses) // 10) :].mean()),
        "checkpoint, MiB": (setup.folder / "demo-128.safetensors").stat().st_size / 2**20,
    }


def curve(setup: Setup, losses: np.ndarray) -> None:
    """Write the loss over the steps, means of equal parts."""
    parts = np.array_split(losses, min(POINTS, len(losses)))
    ends = np.cumsum([len(part) for part in parts])
    rows = [{"to step": int(end), "loss": float(part.mean())} for end, part in zip(ends, parts, strict=True)]
    setup.tables.replace("Loss", rows)


def measure(setup: Setup) -> None:
    """Write the table of the training and the curve of its loss."""
    setup.tables.row("Training", {"size": "tiny" if setup.rehearse else "128 px"}, lambda: train(setup))
