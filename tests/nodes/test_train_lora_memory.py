"""The memory that Train LoRA is said to take, counted again where tensors are real."""

import pytest
import torch

from lumina_next.benchmarks.train_lora.memory import count
from lumina_next.tests.support.core_models import LUMINA, Z_IMAGE

TEXT = 8


def counted(config: dict, depth: int, device: str = "meta", pixels: tuple[int, int] = (64, 96)):
    known = {key: value for key, value in config.items() if key != "image_model"}
    return count(known, pixels, depth, rank=2, text=TEXT, device=device)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("config", [LUMINA, Z_IMAGE], ids=["lumina_image_2", "z_image"])
def test_shapes_alone_give_what_real_tensors_take(config, depth):
    torch.manual_seed(0)
    shapes, real = counted(config, depth), counted(config, depth, "cpu")
    assert (shapes.weights, shapes.lora) == (real.weights, real.lora)
    assert shapes.step == pytest.approx(real.step, rel=0.02)


@pytest.mark.parametrize("config", [LUMINA, Z_IMAGE], ids=["lumina_image_2", "z_image"])
def test_a_checkpoint_a_layer_is_the_least(config):
    deep = config | {"n_layers": 12}
    nowhere, whole, layers, parts = (counted(deep, depth, pixels=(512, 512)).step for depth in range(4))
    assert layers < parts < whole and whole == pytest.approx(nowhere, rel=0.05)
