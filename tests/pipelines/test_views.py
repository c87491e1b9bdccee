"""Requests for views: what they refuse and fill in, and what is drawn."""

import pytest
import torch
from PIL import Image

from lumina_next.demo import MULTIVIEW_MODEL
from lumina_next.nextdit import MultiViewNextDiT
from lumina_next.pipelines import Models, Sampling, ViewsRequest, views
from lumina_next.pipelines.pictures import to_pixels

CAR = Image.new("RGB", (32, 32), "red")
TWO = Sampling(2, "uniform", cfg=2.0)


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(MULTIVIEW_MODEL, device="cpu", dtype=torch.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give prompt, image or both"),
        ({"prompt": None}, "prompt must be a text"),
        ({"prompt": "car", "azimuths": 90}, "azimuths must be a list of numbers, got 90"),
        ({"image": "car.png"}, "image must be a PIL image"),
        ({"prompt": "car", "azimuths": ()}, "azimuths must be finite numbers of degrees, one a view"),
        ({"prompt": "car", "azimuths": (0.0, float("nan"))}, "azimuths must be finite"),
        ({"prompt": "car", "size": 0}, "size must be at least 1, got 0"),
        ({"prompt": "car", "seed": -1}, "seed must be between 0"),
        ({"prompt": "car", "image_cfg": float("inf")}, "image_cfg must be a finite number"),
        ({"prompt": "car", "sampling": Sampling(channels=3)}, "channels must be left out"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ViewsRequest(**options)


def test_views_are_the_flow_with_both_guidances(models):
    model, encoder = models.network("multiview"), models.encoder()
    request = ViewsRequest("a red car", CAR, (90, 200.5), seed=5, sampling=TWO, image_cfg=3.0)
    seen = []
    drawn = views(request, models, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    x, azimuths = torch.randn(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(5)), torch.tensor([[90, 200.5]])
    image = to_pixels(CAR, 32, 32)
    with torch.inference_mode():
        (text, mask), (empty, empty_mask) = encoder(["a red car"]), encoder([""])
        for t in (0.0, 0.5):
            time = torch.tensor([t])
            both = model(x, time, azimuths, text, mask, image=image)
            of_image = model(x, time, azimuths, empty, empty_mask, image=image)
            nothing = model(x, time, azimuths, empty, empty_mask)
            x = x + 0.5 * (nothing + 3 * (of_image - nothing) + 2 * (both - of_image))
    for picture, expected, azimuth in zip(drawn, x[0], (90, 200.5), strict=True):
        assert (to_pixels(picture, 32, 32)[0] - expected.clamp(-1, 1)).abs().max() < 0.02
        assert (picture.size, picture.parameters["azimuth"], picture.parameters["seed"]) == ((32, 32), azimuth, 5)


def test_the_size_is_the_models_unless_another_is_asked_for(models):
    one = Sampling(1, cfg=1.0)
    for size, expected in ((None, 32), (18, 18)):
        (picture,) = views(ViewsRequest("car", azimuths=(0,), size=size, sampling=one), models)
        assert picture.size == (expected, expected)


def test_a_model_of_single_pictures_is_refused():
    with pytest.raises(
        ValueError, match=r"lumina-next-demo\.safetensors: it is a text-to-image Next-DiT, expected a multi"
    ):
        views(ViewsRequest("car"), Models(device="cpu"))


def test_memory_that_runs_out_is_said_in_words(models, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(MultiViewNextDiT, "velocity", fail)
    with pytest.raises(ValueError, match=r"8 views of 32×32 pixels.*fewer at once \(azimuths\)"):
        views(ViewsRequest("car", sampling=TWO), models)
