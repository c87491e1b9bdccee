"""The benchmark of recognition: scenes, contestants and tables."""

import argparse
import json

import numpy as np
import pytest
import torch

from lumina_next.benchmarks.recognition import sections
from lumina_next.benchmarks.recognition.scenes import SIZES, Scenes, squeezed
from lumina_next.nextdit import save_model
from lumina_next.tests.support.untrained_classifier import CONFIG, untrained
from lumina_next.training.data.recognition.styles import STYLES

COLOURS = ((200, 40, 40), (40, 180, 60), (40, 60, 220), (20, 20, 20))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Four labels, squares of a colour, of which the held-out style lacks one."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "recognition").mkdir()
    for style in ("noto", "twemoji"):
        for size in SIZES:
            pixels = np.zeros((4, size, size, 4), np.uint8)
            pixels[:] = np.array([(*colour, 255) for colour in COLOURS], np.uint8)[:, None, None]
            np.save(folder / f"recognition/{style}-{size}.npy", pixels)
    have = {style: [0, 1, 2, 3] for style in STYLES} | {"noto": [0, 1, 3]}
    labels = {name: list(values) for name, values in CONFIG.labels.items()}
    (folder / "recognition/labels.json").write_text(json.dumps({"labels": labels, "styles": have}))
    return folder


@pytest.mark.parametrize("size", ((48, 48), (32, 128), (128, 32), (384, 96)))
def test_scenes_show_the_whole_object_on_white(cache, size):
    scenes = Scenes(cache)
    assert scenes.some(2) == [0, 1] and scenes.some(99) == [0, 1, 3]
    drawn = scenes.draw(*size, [0, 3])
    assert drawn.shape == (2, 3, *size) and torch.equal(drawn, scenes.draw(*size, [0, 3]))
    share = (drawn != 1).any(1).float().mean((1, 2))
    assert torch.allclose(share, torch.full((2,), min(size) ** 2 / (size[0] * size[1])))
    assert squeezed(drawn).shape == (2, 3, 64, 64)


def options(cache, tmp_path, **more) -> argparse.Namespace:
    save_model(untrained(), tmp_path / "model.safetensors")
    told = {
        "first": None,
        "short": None,
        "prenorm": None,
        "vit": None,
        "dtype": "float32",
        "count": 3,
        "fewer": 2,
        "large": 100,
    }
    told["networks"] = sections.NETWORKS
    return argparse.Namespace(cache=cache, model=tmp_path / "model.safetensors", gallery=["twemoji"], **(told | more))


def test_every_network_answers_in_every_way(cache, tmp_path):
    bench = sections.Bench(options(cache, tmp_path, first=tmp_path / "model.safetensors"))
    rows = sections.accuracy(bench, ((64, 64), (96, 120)))
    ways = (*sections.METHODS, "resized to 64")
    expected = [(network, way) for network in sections.NETWORKS[:2] for way in ways]
    assert [(row["network"], row["way"]) for row in rows] == [(sections.NETWORKS[0], sections.SHIPPED), *expected]
    assert all((row["64×64"]["n"], row["96×120"]["n"]) == (3, 2) for row in rows)
    assert len({row["64×64"]["value"] for row in rows}) == 1, "at the training size all ways are the same"


def test_similar_drawings_are_found(cache, tmp_path):
    (row,) = sections.similarity(sections.Bench(options(cache, tmp_path)))
    assert row["pixels, 64×64"]["value"] == row["features, 64×64"]["value"] == 100
    assert row["features, 64×128"]["n"] == 3


def test_a_plain_vit_of_the_same_size(tmp_path):
    pytest.importorskip("timm")
    from safetensors.torch import save_file

    from lumina_next.benchmarks.recognition.vit import ViT, load
    from lumina_next.nextdit.models.classifier import ClassifierNextDiT
    from lumina_next.training.tasks.classifier import demo_config

    labels = {"en": [str(n) for n in range(625)]}
    count = [sum(p.numel() for p in m.parameters()) for m in (ViT(625), ClassifierNextDiT(demo_config(labels)))]
    assert abs(count[0] / count[1] - 1) < 0.05
    model = ViT(3).eval()
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    with torch.inference_mode():
        x = torch.rand(2, 3, 64, 128)
        torch.testing.assert_close(load(tmp_path / "vit.safetensors", 3)(x), model(x))
        assert sections.plain(model)(x).shape == (2,)
