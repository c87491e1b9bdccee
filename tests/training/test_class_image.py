"""Training of classes: kinds of nearly one size, batches that repeat, a loss that falls."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lumina_next.nextdit import load_model
from lumina_next.nextdit.models.class_image import ClassDiT
from lumina_next.training.loop.trainer import train
from lumina_next.training.tasks import class_image
from lumina_next.training.tasks.class_image import KINDS

SMALL = {"dim": 32, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1, "ffn_dim": 48, "time_dim": 32}


def options_of(folder, *more):
    given = ["--run", str(folder / "run"), "--no-compile", "--pictures", "8", "--warmup", "3", "--rate", "1e-2", *more]
    return class_image.parse(given)


def test_kinds_have_as_many_parameters():
    counts = {
        kind: sum(p.numel() for p in ClassDiT(config, device="meta").parameters()) for kind, config in KINDS.items()
    }
    assert max(counts.values()) < 1.01 * min(counts.values()), counts


def test_batches_repeat_and_leave_out_some_classes(tmp_path):
    batches = class_image.make_batches(options_of(tmp_path, "--pictures", "300", "--seed", "1"))
    first, again = batches.draw(3, 0.0), batches.draw(3, 0.9)
    assert torch.equal(first.pictures, again.pictures) and torch.equal(first.labels, again.labels)
    assert first.pictures.shape == (300, 3, 32, 32) and not torch.equal(first.labels, batches.draw(4, 0.0).labels)
    assert 10 < (first.labels == len(batches.labels)).sum() < 60
    corners = first.pictures[:, :, 0, 0]
    assert 0.1 < (corners.min(dim=1).values < 1).float().mean() < 0.3  # the others are white
    assert batches.labels[:2] == ("dog face", "cat face") and len(set(batches.labels)) == 64


@pytest.mark.parametrize("kind", ["next", "flag", "time"])
def test_a_model_learns_is_saved_and_goes_on(tmp_path, monkeypatch, kind):
    small = replace(KINDS[kind], **SMALL)
    monkeypatch.setitem(KINDS, kind, small)
    options = options_of(tmp_path, "--kind", kind, "--steps", "30")
    losses = train(class_image.make_trainer(options), tmp_path / "run", tmp_path / "model.safetensors")
    assert len(losses) == 30 and np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])
    model = load_model(tmp_path / "model.safetensors")
    assert model.config == replace(small, classes=64, labels=model.config.labels)
    assert model.config.labels[2] == "mouse face"
    assert list((tmp_path / "run").glob("samples-*.png"))
    assert class_image.make_trainer(options).run.step == 30
    more = options_of(tmp_path, "--run", str(tmp_path / "other"), "--model", str(tmp_path / "model.safetensors"))
    assert class_image.make_trainer(more).run.step == 0
