"""Variety of seeds: the pictures and their judge, what a way of sampling does, and a whole run."""

import json
from itertools import pairwise

import pytest
import torch

from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.benchmarks.variety import cards as variety_cards
from lumina_next.benchmarks.variety import run
from lumina_next.benchmarks.variety.cards import Cards
from lumina_next.benchmarks.variety.measures import choices, distance, measures
from lumina_next.benchmarks.variety.ways import Way, sample, ways
from lumina_next.tests.support import untrained_model, untrained_text_encoder

EVERY = 16  # concepts: four of them


@pytest.fixture(autouse=True)
def few_places(monkeypatch):
    monkeypatch.setattr(variety_cards, "PLACES", [(32, 0, 0), (48, 8, 16), (64, 0, 0)])


@pytest.fixture
def cards():
    return Cards(Truth(), torch.device("cpu"), every=EVERY)


def test_every_picture_is_its_own_nearest(cards):
    pictures = cards.pictures.flatten(0, 2)
    found, psnr = cards.nearest(pictures.float())
    assert torch.equal(found, torch.arange(len(pictures))) and psnr.min() > 60
    concept, place, colour = cards.parts(found)
    assert torch.equal(cards.pictures[concept, place, colour], pictures)
    white = Truth().pictures(64)[:: len(Truth().emoji) // 4][: len(cards.names)]
    torch.testing.assert_close(cards.pictures[:, -1, 0].float(), white, atol=2e-3, rtol=0)


def test_a_prompt_gets_pictures_that_it_says_and_all_of_them(cards):
    torch.manual_seed(0)
    pictures, prompts = cards.draw(400, empty=0.1)
    concept = cards.parts(cards.nearest(pictures)[0])[0].tolist()
    seen = {(prompt, found) for prompt, found in zip(prompts.tolist(), concept, strict=True)}
    assert seen == {(prompt, found) for prompt, members in enumerate(cards.members) for found in members}
    assert cards.prompts[-1] == "" and len(cards.prompts) == len(cards.names) + cards.kinds + 1


def test_true_pictures_are_right_and_as_varied_as_can_be(cards):
    torch.manual_seed(0)
    prompts = list(range(len(cards.prompts) - 1))
    rows = cards.any_of(torch.tensor(prompts).repeat_interleave(40))
    drawn = cards.pictures.flatten(0, 2)[rows].unflatten(0, (len(prompts), 40))
    found = measures(cards, drawn, prompts)
    assert found["right, %"]["value"] == 100 and 2.5 < found["places"]["value"] <= 3 < 7 < found["colours"]["value"]
    alike = drawn[:, :1].expand_as(drawn)
    same = measures(cards, alike, prompts)
    assert same["colours"]["value"] == pytest.approx(1) and same["distance"]["value"] == pytest.approx(0, abs=1e-4)
    wrong = measures(cards, drawn.roll(1, 0), prompts)
    assert wrong["right, %"]["value"] < 40


def test_choices_and_distance():
    assert choices(torch.tensor([1, 1, 2, 2])) == pytest.approx(2) and choices(torch.tensor([7] * 5)) == pytest.approx(
        1
    )
    assert choices(torch.tensor([])) == 0
    assert distance(torch.tensor([[-1.0, -1.0], [1.0, 1.0]])) == pytest.approx(2)


def velocity(x, t, features, mask):
    """A flow to features' mean, the same at all times."""
    return features.mean(dim=(1, 2)).view(-1, 1, 1, 1) - x.mean(dim=(1, 2, 3), keepdim=True) + 0 * t.view(-1, 1, 1, 1)


@pytest.mark.parametrize("way", list(ways(4)), ids=lambda way: f"{way.name} {way.strength}")
def test_every_way_but_the_plain_one_changes_something(way):
    torch.manual_seed(0)
    x, features = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4)
    masks = torch.ones(2, 3, dtype=torch.bool)
    text, empty = (features, masks), (torch.zeros_like(features), masks)
    plain = sample(Way(), velocity, velocity, x, text, empty)
    drawn = sample(way, velocity, velocity, x, text, empty)
    assert drawn.shape == x.shape and torch.isfinite(drawn).all()
    assert torch.equal(drawn, plain) == (way == Way())
    assert way.grid[-1] == 1 and all(a < b for a, b in pairwise(way.grid))
    assert len(way.grid) == 1 + way.steps + bool(way.first)


def test_plain_steps_are_eulers():
    x, masks = torch.randn(2, 3, 8, 8), torch.ones(2, 3, dtype=torch.bool)
    text = torch.ones(2, 3, 4), masks
    expected = x
    for t, after in pairwise(Way().grid):
        expected = expected + (after - t) * velocity(expected, torch.full((2,), t), *text)
    torch.testing.assert_close(sample(Way(), velocity, velocity, x, text, text), expected, atol=1e-5, rtol=1e-5)


def test_one_command_trains_distils_and_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ways", lambda steps: list(ways(steps))[:2])
    untrained_model.write(tmp_path / "model.safetensors")
    run.main(
        ["--model", str(tmp_path / "model.safetensors"), "--device", "cpu", "--few-ways", "--every", "16"]
        + ["--text-encoder", str(untrained_text_encoder.write(tmp_path / "text_encoder"))]
        + ["--teacher-steps", "1", "--student-steps", "1", "--batch", "2", "--steps", "2", "--seeds", "2"]
        + ["--results", str(tmp_path), "--pictures", str(tmp_path), "--weights", str(tmp_path / "weights")]
    )
    sections = json.loads((tmp_path / "variety.json").read_text("utf-8"))["sections"]
    assert [row["way"] for row in sections["Ways"]] == [way.name for way in list(ways(2))[:2]]
    assert sections["References"][0]["right, %"]["value"] == 100
    assert (tmp_path / "variety.webp").is_file()
    assert {file.stem for file in (tmp_path / "weights").iterdir()} == {"teacher", "student"}
