"""Empty latents of models in pixel space: taken at their word up to four times the trained side, fitted beyond it."""

import re
from inspect import signature

import comfy.sample
import pytest
import torch

from lumina_next.nextdit import save_model
from lumina_next.nextdit.train_size import NativeSize
from lumina_next.nodes.adapter.models import loading, sizes
from lumina_next.nodes.adapter.models.pixels import Pixels
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support import untrained_model


@pytest.fixture(scope="module")
def patcher(tmp_path_factory):
    """A model of 4 × 4 pixel patches, trained on 16 × 16 tokens, as the demo is."""
    file = tmp_path_factory.mktemp("pixels") / "model.safetensors"
    untrained_model.write(file)
    return loading.load(file)


@pytest.mark.parametrize(
    "asked, drawn",
    [
        ((512, 512), (64, 64)),
        ((512, 1024), (44, 92)),
        ((1024, 512), (92, 44)),
        ((256, 264), (64, 64)),
        ((256, 256), (256, 256)),
        ((64, 1024), (64, 1024)),  # of that area: a panorama
        ((32, 32), (32, 32)),
        ((63, 65), (63, 65)),
    ],
)
def test_the_size_that_is_drawn(asked, drawn):
    latent = Pixels(64, 4).fix_empty_latent(torch.zeros(2, 3, *asked))
    assert latent.shape == (2, 3, *drawn) and not latent.any()


def test_nothing_is_changed_without_a_known_size_or_with_scaled_rope():
    large = torch.zeros(1, 3, 512, 512)
    assert Pixels(None, 4).fix_empty_latent(large) is large
    pixels = Pixels(64, 4)
    assert pixels.of_any_size().fix_empty_latent(large) is large
    assert pixels.fix_empty_latent(large).shape[-1] == 64, "the first format is as it was"


def fixed(model, latent, ratio=None):
    return comfy.sample.fix_empty_latent_channels(model, latent, *([] if ratio is None else [ratio]))


def test_comfyuis_own_empty_latent(tmp_path):
    """512 × 512 as Empty Latent Image makes it: 64 × 64 cells, which say that they are eighths where they can."""
    model = untrained_model.NextDiT(untrained_model.CONFIG)
    save_model(model, tmp_path / "model.safetensors", {"train_tokens": "16"})
    patcher = loading.load(tmp_path / "model.safetensors")
    samples = torch.zeros(1, 4, 64, 64)
    ratio = 8 if "downscale_ratio_spacial" in signature(comfy.sample.fix_empty_latent_channels).parameters else None
    assert fixed(patcher, samples, ratio).shape == (1, 3, 64, 64)
    scaled, _ = scale_rope(patcher, "interpolation")
    if ratio:
        assert fixed(scaled, samples, ratio).shape == (1, 3, 512, 512)
    assert fixed(patcher, samples, ratio).shape == (1, 3, 64, 64)
    picture = torch.ones(1, 3, 512, 512)
    assert fixed(patcher, picture, ratio) is picture, "what is no empty latent is never touched"


def test_a_file_that_does_not_tell_its_size(patcher):
    empty = torch.zeros(1, 3, 512, 512)
    assert fixed(patcher, empty).shape == empty.shape


@pytest.mark.parametrize(
    "grid, scaled, says",
    [
        ((16, 16), False, None),
        ((24, 24), True, None),
        ((24, 24), False, "96 × 96 is past the trained 64 × 64: things may come twice. Put Scaled RoPE"),
        ((128, 128), True, "512 × 512: a step takes at least 64 times as long as at 64 × 64"),
        ((128, 128), False, "things may come twice, and a step takes at least 64 times as long.* Put Scaled RoPE"),
    ],
)
def test_what_a_run_is_told_of_its_size(grid, scaled, says):
    told = sizes.warning(NativeSize(16), grid, 4, scaled)
    assert told is None if says is None else re.search(says, told)
