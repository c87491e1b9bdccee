"""What the reference code of the audio models computes (reference_audio.py), and how near ours has to be."""

import json
from pathlib import Path

import torch

from .reference_weights import weights

CASES = json.loads((Path(__file__).parents[1] / "nextdit/models/reference_audio.json").read_text("utf-8"))


def stored(case: str) -> dict[str, torch.Tensor]:
    """Return the weights that the reference had."""
    return weights({key: tuple(shape) for key, shape in CASES[case]["shapes"].items()})


def assert_equal(ours: torch.Tensor, case: str, output: str) -> None:
    """Hold what ours computed against the reference, to 1e-5 of its largest number."""
    said = CASES[case]["outputs"][output]
    theirs = torch.tensor(said["values"]).view(said["shape"])
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
