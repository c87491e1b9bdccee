"""Many pictures: batches of bounded size, in order, alike or not, and labels that people name."""

import pytest
import torch

from lumina_next.nextdit import recognition
from lumina_next.tests.support.untrained_classifier import CONFIG, untrained


def test_batches_hold_every_picture_once_and_are_bounded():
    lengths = [5, 300, 7, 5000, 64, 64, 300]
    found = list(recognition.batches(lengths, 600))
    assert sorted(i for batch in found for i in batch) == list(range(7))
    assert all(len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= 600 for batch in found)
    assert len(found) < 5 and not list(recognition.batches([]))


def test_features_come_in_the_order_of_the_pictures(monkeypatch):
    monkeypatch.setattr(recognition, "BATCH_TOKENS", 100)
    model, generator = untrained(), torch.Generator().manual_seed(1)
    pictures = [torch.rand(3, *size, generator=generator) * 2 - 1 for size in ((96, 64), (16, 16), (64, 64), (24, 80))]
    told = []
    found = recognition.features(model, pictures, on_picture=lambda done, total: told.append((done, total)))
    alone = torch.cat([model.features(picture[None]) for picture in pictures]).detach()
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
    assert told[-1] == (4, 4)
    shares = recognition.shares(model, found)
    assert shares.shape == (4, 4) and torch.allclose(shares.sum(-1), torch.ones(4))
    similarity = recognition.similarity(found, found[2:3])
    assert similarity.argmax() == 2 and similarity.max() <= 1 + 1e-5


@pytest.mark.parametrize(
    "text, indices",
    [
        ("dog", [0]),
        (" DOG ", [0]),
        ("犬", [0]),
        ("🐱", [1]),
        ("red apple", [2]),
        ("cat, 車,dog", [1, 3, 0]),
        ("dog, 犬", [0]),
        ("3", [3]),
    ],
)
def test_labels_by_name_in_any_language_or_by_number(text, indices):
    assert recognition.label_indices(CONFIG, text) == indices


@pytest.mark.parametrize("text", ("", " , ", "dgo", "4", "-1", "²", "dog; cat"))
def test_unknown_labels_say_what_may_be_meant(text):
    with pytest.raises(ValueError, match="no label"):
        recognition.label_indices(CONFIG, text)


def test_misspelt_labels_get_a_hint():
    with pytest.raises(ValueError, match="no label 'aple'; did you mean red apple|no label 'red aple'; did you mean"):
        recognition.label_indices(CONFIG, "red aple")
    with pytest.raises(ValueError, match="it knows 4 labels, such as dog, cat, red apple, car"):
        recognition.label_indices(CONFIG, "zzzzzzz")
