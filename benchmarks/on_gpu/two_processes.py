"""One picture on two processes that share a card: does the path by rows run there, and what does it cost."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

from ...nextdit.config import PRESETS
from ...nextdit.parallel import forward_by_rows
from ..step.models import make_inputs
from .networks import DTYPE, SMALL, TEXT, random_network
from .stage import Setup
from .tables import Row
from .timing import error_of, span, turns


def measure_row(setup: Setup) -> Row:
    """Start two processes of this file and return what the first says. Raises RuntimeError if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", __name__, folder, str(setup.device), str(int(setup.rehearse))]
        logs = [Path(folder) / f"log-{rank}" for rank in range(2)]
        processes = []
        for rank, log in enumerate(logs):
            with open(log, "wb") as out:
                environment = os.environ | {"RANK": str(rank), "WORLD_SIZE": "2"}
                processes.append(subprocess.Popen(words, stdout=out, stderr=out, env=environment))
        codes = [process.wait() for process in processes]
        if any(codes):
            said = logs[codes.index(next(filter(None, codes)))].read_text("utf-8", "replace").strip().splitlines()
            raise RuntimeError(said[-1] if said else f"ended with {codes}")
        return json.loads((Path(folder) / "row.json").read_text("utf-8"))


def main(folder: str, device_name: str, rehearse: bool) -> None:
    """Be one of the two processes. Gloo carries the keys: NCCL refuses two processes on one card."""
    device = torch.device(device_name)
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    config = SMALL if rehearse else replace(PRESETS["2B"], n_layers=8)
    model = random_network(config, device)  # the same on both: seeded
    grid = (4, 4) if rehearse else (64, 64)
    inputs = make_inputs(config, grid, [TEXT, TEXT], DTYPE, device)
    by_rows = partial(forward_by_rows, model, inputs.x, inputs.t, inputs.text)
    alone = partial(model, inputs.x, inputs.t, inputs.text)
    budget = 0.001 if rehearse else 1.0
    row = {"difference": error_of(by_rows(), alone())}
    dist.barrier()
    if rank == 0:
        row["one process, ms"] = 1000 * turns({"alone": alone}, device, budget)["alone"]
    dist.barrier()
    row["two, ms"] = 1000 * together(by_rows, device, 3 if rehearse else 8)
    if rank == 0:
        (Path(folder) / "row.json").write_text(json.dumps(row), "utf-8")
    dist.barrier()
    dist.destroy_process_group()


def together(call, device: torch.device, rounds: int) -> float:
    """Return the seconds of a call that both make as often: as many rounds here as there."""
    return sorted(span(call, device) for _ in range(rounds))[rounds // 2]


if __name__ == "__main__":
    with torch.no_grad():
        main(sys.argv[1], sys.argv[2], sys.argv[3] == "1")
