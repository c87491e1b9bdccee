"""One stage, in a process of its own that may be ended at any time: `python -m lumina_next.benchmarks.on_gpu.stage`."""

import argparse
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import torch

from .tables import Tables
from .timing import settings


@dataclass
class Setup:
    """What a stage measures on, where its tables go, and until when (`time.monotonic`)."""

    device: torch.device
    tables: Tables
    deadline: float
    rehearse: bool = False
    data: Path | None = None
    run: Path | None = None
    folder: Path = field(default_factory=Path.cwd)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def budget(self, seconds: float) -> float:
        """Return how long to time a row: next to nothing in a rehearsal."""
        return 0.001 if self.rehearse else seconds


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("module")
    add("--results", type=Path, required=True)
    add("--seconds", type=float, required=True)
    add("--device", required=True)
    add("--rehearse", action="store_true")
    add("--data", type=Path)
    add("--run", type=Path)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the `measure` of a module of this package, or, without a leading dot, of any other."""
    options = parse(arguments)
    deadline = time.monotonic() + options.seconds
    device = torch.device(options.device)
    tables = Tables(options.results, settings(device))
    made = Setup(device, tables, deadline, options.rehearse, options.data, options.run, options.results)
    with torch.no_grad():
        import_module(options.module, __package__).measure(made)


if __name__ == "__main__":
    main()
