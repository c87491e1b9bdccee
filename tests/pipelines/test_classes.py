"""Requests for pictures of classes: what they refuse and fill in, and what is made."""

from dataclasses import replace

import pytest
import torch

from lumina_next.demo import MODEL
from lumina_next.nextdit import RopeScaling, save_model
from lumina_next.nextdit.latents import SD1, SDXL
from lumina_next.nextdit.models.class_image import ClassDiT
from lumina_next.pipelines import ClassToImage, Models, Sampling, class_to_image, class_to_images
from lumina_next.pipelines.sampling import noise
from lumina_next.samplers import guide, integrate
from lumina_next.tests.nextdit.conftest import randomise
from lumina_next.tests.support.untrained_classes import SMALL, untrained

PIXELS = replace(SMALL, in_channels=3, out_channels=3)
TWO = Sampling(2, "uniform", cfg=2.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("classes") / "pixels.safetensors"
    save_model(randomise(ClassDiT(PIXELS)), file, {"train_tokens": "8"})
    return Models(file, device="cpu")


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory) -> Models:
    file = tmp_path_factory.mktemp("classes") / "imagenet.safetensors"
    save_model(untrained("imagenet"), file)
    return Models(file, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ()}, "labels are none; give at least one class"),
        ({"labels": (1.5,)}, "labels must be names or numbers of classes, got 1.5"),
        ({"labels": (True,)}, "got True"),
        ({"labels": None}, "labels must be a list"),
        ({"width": 0}, "width must be at least 1"),
        ({"height": 16.0}, "height must be a whole number of pixels"),
        ({"seeds": (-1,)}, "seed must be between 0"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"seeds": ()}, "seeds must be one at least"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ClassToImage(**{"labels": ("bee",)} | options)


def test_pictures_are_those_of_the_flow_with_guidance_and_know_what_made_them(models):
    seen = []
    request = ClassToImage(("cow", 0), seeds=(3, 4), sampling=TWO)
    made = class_to_images(request, models, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)] and [each.size for each in made] == [(16, 16)] * 4
    told = [tuple(each.parameters[key] for key in ("label", "class", "seed")) for each in made]
    assert told == [("cow", 2, 3), ("cow", 2, 4), ("ant", 0, 3), ("ant", 0, 4)]
    network = models.network("class_image")

    @torch.no_grad()
    def velocity(x, t):
        each = t.float().expand(4)
        labels = torch.tensor([2, 2, 0, 0])
        return guide(network(x, each, labels), network(x, each, torch.full_like(labels, 3)), 2.0)

    start = noise((3, 4), 16, 16).repeat(2, 1, 1, 1)
    expected = integrate(velocity, start, torch.linspace(0, 1, 3), "euler").clamp(-1, 1)
    got = torch.stack([torch.frombuffer(bytearray(each.tobytes()), dtype=torch.uint8) for each in made])
    wanted = ((expected + 1) * 127.5).round().permute(0, 2, 3, 1).flatten(1)
    assert (got.float() - wanted).abs().max() <= 1


def test_a_picture_comes_again_and_class_seed_size_and_scaling_count(models):
    def picture(label="bee", **options) -> bytes:
        return class_to_image(label, models=models, sampling=TWO, **options).tobytes()

    first = picture()
    assert picture() == picture(1) == picture("1: bee") == first
    large = {"width": 40, "height": 24}
    others = [picture("cow"), picture(seed=1), picture(**large), picture(**large, rope=RopeScaling("extrapolation"))]
    assert len({first, *others}) == 5
    assert class_to_image("be", models=models, sampling=TWO, width=13).size == (13, 16)


def test_classes_and_models_that_do_not_fit_are_explained(models, imagenet):
    with pytest.raises(ValueError, match="unknown class 'cowl', expected a name or a number from 0 to 2; did you mean"):
        class_to_image("cowl", models=models)
    with pytest.raises(ValueError, match="unknown class 3, expected a name or a number from 0 to 2"):
        class_to_image(3, models=models)
    with pytest.raises(ValueError, match="it is a text-to-image Next-DiT, expected a class-conditional"):
        class_to_image("fox", models=Models(MODEL, device="cpu"))
    with pytest.raises(ValueError, match="channels must be between 1 and the model's 3, got 4"):
        class_to_image("bee", models=models, sampling=replace(TWO, channels=4))
    with pytest.raises(ValueError, match="makes latents, which need vae: Stable Diffusion 1's VAE"):
        class_to_image(207, models=imagenet)


def test_latents_are_those_of_the_familys_vae(imagenet, monkeypatch):
    assert imagenet.space is SD1 and Models(MODEL, device="cpu").space is SDXL
    given = []
    monkeypatch.setattr(Models, "decoder", lambda self: lambda x: given.append(x) or torch.zeros(len(x), 3, 8, 8))
    imagenet.to_pixels(torch.full((1, 4, 1, 1), 0.18215))
    torch.testing.assert_close(given[0], torch.ones(1, 4, 1, 1))


def test_a_file_without_names_has_imagenets_if_it_has_as_many(imagenet):
    assert imagenet.config.is_imagenet and imagenet.config.label("207") == 207
    pytest.importorskip("torchvision")
    assert imagenet.config.label("golden retriever") == 207
    with pytest.raises(ValueError, match="did you mean .*207: golden retriever"):
        imagenet.config.label("golden retreiver")
