"""Flag-DiT and networks of classes against what the reference code computes (support/reference_numbers.py)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lumina_next.nextdit import RopeScaling
from lumina_next.nextdit.checkpoint import build
from lumina_next.nextdit.families import recognised
from lumina_next.tests.support.reference_weights import numbers, weights

CASES = json.loads((Path(__file__).parent / "reference_numbers.json").read_text())
TIMES = torch.tensor([0.2, 0.7])
HEADS = {"n_heads": "2"}
BY_BASE = RopeScaling("time_aware_watershed", 2.0, train_tokens=8, watershed=0.0)


def network(name):
    stored = weights({key: tuple(shape) for key, shape in CASES[name]["shapes"].items()})
    found = recognised(stored)
    told = HEADS | ({"experts": name.partition("_")[0]} if name in ("time_experts", "space_experts") else {})
    return build(found.family, found.rename(stored), told).eval()


def assert_equal(ours, name, output):
    said = CASES[name]["outputs"][output]
    theirs = torch.tensor(said["values"]).view(said["shape"])
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@torch.no_grad()
def test_flag_dit_equals_the_reference_in_training_size_and_past_it():
    model, text = network("flag"), numbers("text", (2, 5, 20))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert_equal(model(numbers("x", (2, 4, 6, 8)), TIMES, text, mask), "flag", "plain")
    larger = numbers("larger", (1, 4, 12, 16))
    for name, rope in {  # twice the side is four times the area, which is what its line of patches is longer by
        "ntk": replace(BY_BASE, proportional=True),
        "linear": RopeScaling("interpolation", 2.0, train_tokens=8),
    }.items():
        assert_equal(model(larger, TIMES[:1], text[:1], mask[:1], rope=rope), "flag", name)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in CASES if name != "flag"])
def test_classes_equal_the_reference_and_under_its_guidance(name):
    model, plain = network(name), CASES[name]["outputs"]["plain"]["shape"]
    assert_equal(model(numbers("x", tuple(plain)), TIMES, torch.tensor([3, 0])), name, "plain")
    larger = numbers("larger", (1, 4, *CASES[name]["outputs"]["guided"]["shape"][2:])).repeat(2, 1, 1, 1)
    rope = None if name == "class_flag" else BY_BASE
    one, none = model(larger, TIMES[:1].repeat(2), torch.tensor([3, 5]), rope=rope)
    guided = torch.cat([(none + 4.0 * (one - none))[:3], one[3:]])
    assert_equal(guided[None], name, "guided")
