"""Write what the reference code's SDE sampler computes on a field without a network, for ours to be held against.

`python -m lumina_next.tests.support.reference_sde LUMINA_T2X FILE`, LUMINA_T2X a checkout of
github.com/Alpha-VLLM/Lumina-T2X.
"""

import importlib
import itertools
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from .reference_numbers import rounded
from .reference_weights import numbers

SHAPE, STEPS = (2, 3, 4), 6
RUNS = [("Euler", "sigma", 1.0, "Mean"), ("Heun", "sigma", 1.0, "Mean"), ("Euler", "sigma", 0.5, "Euler")]
RUNS += [("Heun", "decreasing", 1.0, "Tweedie"), ("Euler", "decreasing", 1.0, "Mean")]


def field(x: Tensor, t: Tensor) -> Tensor:
    """Return a velocity that depends on everything."""
    return x * (t.view(-1, 1, 1) - 0.5) + 1 - 0.3 * x.flip(-1)


def draws():
    """Return what draws noise, each time other numbers."""
    count = itertools.count()
    return lambda *_: numbers(f"noise {next(count)}", SHAPE)


def main(checkout: Path, file: Path) -> None:
    sys.path.insert(0, str(checkout / "Next-DiT-ImageNet"))
    transport = importlib.import_module("transport")
    sampler = transport.Sampler(transport.create_transport("Linear", "velocity", None, None, None))
    found = []
    for method, form, norm, last in RUNS:
        torch.randn = draws()
        options = {"sampling_method": method, "diffusion_form": form, "diffusion_norm": norm, "last_step": last}
        samples = sampler.sample_sde(**options, num_steps=STEPS)(numbers("x", SHAPE), field)
        found.append({**options, "values": rounded(samples[-1])})
    file.write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
