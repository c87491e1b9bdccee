"""Classes through a real server: each picture of the batch shows its own, judged by the nearest true picture."""

import numpy as np
import torch

from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.tests.host.test_workflows import all_saved_by, load, saving, with_inputs
from lumina_next.training.data.emoji.concepts import COLOURS

SHOWN = "fox, rocket, 28, pizza"
NAMES = ["fox", "rocket", "mushroom", "pizza"]


def nearest(pictures: list[np.ndarray]) -> list[str]:
    """The name of the demo's thing whose true picture, on white or on a colour, is nearest to each.

    The benchmark has a judge that never saw these drawings; it takes minutes to train.
    """
    truth, count = Truth(), 64
    true = torch.cat([truth.pictures(32, colour)[:count] for colour in range(-1, len(COLOURS))])
    given = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    found = torch.cdist(given.flatten(1), true.flatten(1)).argmin(1) % count
    return [truth.name(int(number), "en") for number in found]


def test_each_picture_shows_its_class_and_none_without_one(client):
    prompt = saving(load("class_to_image"), classes="6")
    prompt = with_inputs(prompt, "EmptyLatentImage", batch_size=4)
    prompt = with_inputs(prompt, "LuminaNextClassLabel", labels=SHOWN)
    run = client.run(prompt)
    assert run.status == "success", run.error
    pictures = all_saved_by(client, run, "classes")
    assert [picture.shape for picture in pictures] == [(32, 32, 3)] * 4
    assert nearest(pictures) == NAMES
    swapped = with_inputs(prompt, "KSampler", positive=["3", 1])  # no class, with and without guidance
    assert nearest(all_saved_by(client, client.run(swapped), "classes")) != NAMES


def test_the_workflow_shows_a_row_of_eight(client):
    prompt = with_inputs(load("class_to_image"), "KSampler", seed=4000)
    run = client.run(prompt)
    (row,) = client.images(run)
    assert row.shape == (2 * 192 + 4, 4 * 192 + 3 * 4, 3)
    cells = [row[196 * i : 196 * i + 192, 196 * j : 196 * j + 192] for i in range(2) for j in range(4)]
    small = [cell.reshape(32, 6, 32, 6, 3).mean(axis=(1, 3)) for cell in cells]
    wanted = prompt["3"]["inputs"]["labels"].split(", ")
    assert nearest(small) == wanted


def test_a_class_that_the_model_lacks_is_answered_with_the_nearest(client):
    for labels, told in (("foxes", "did you mean 4: fox"), ("", "this model has 64 classes of its own")):
        run = client.run(with_inputs(load("class_to_image"), "LuminaNextClassLabel", labels=labels))
        assert run.status != "success" and told in str(run.error), run.error
