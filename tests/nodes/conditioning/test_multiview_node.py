"""The Multi-View Conditioning node: what it puts into conditioning and latents, and that samplers take them."""

import pytest
import torch

from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.views import empty_views
from lumina_next.nodes.conditioning.multi_view import MultiView
from lumina_next.tests.support import untrained_multiview
from lumina_next.tests.support.patch_models import prompt

TEXT_DIM = untrained_multiview.CONFIG.text_dim


@pytest.fixture(scope="module")
def patcher(tmp_path_factory):
    file = tmp_path_factory.mktemp("multiview") / "views.safetensors"
    untrained_multiview.write(file)
    return loading.load(file)


def text(length: int, seed: int = 0) -> list:
    return prompt(length, seed, width=TEXT_DIM)


def execute(positive=None, azimuths="0, 90", width=64, height=48, batch_size=1, vae=None, image=None):
    return MultiView.execute(positive or text(6), text(1, 1), azimuths, width, height, batch_size, vae, image).result


@pytest.fixture
def pixel_vae(stock):
    return stock.VAELoader().load_vae("pixel_space")[0]


def test_the_latent_is_a_batch_of_all_views(pixel_vae):
    *_, latent = execute(batch_size=3)
    assert latent["samples"].shape == (6, 4, 6, 8) and latent["downscale_ratio_spacial"] == 8
    *_, latent = execute(batch_size=3, vae=pixel_vae)
    assert latent["samples"].shape == (6, 3, 48, 64) and latent["downscale_ratio_spacial"] == 1


@pytest.mark.parametrize("with_vae", [False, True], ids=["core's empty latent", "the VAE's"])
def test_the_latent_fits_the_model_in_the_sampler(patcher, pixel_vae, stock, with_vae):
    positive, _, negative, latent = execute(vae=pixel_vae if with_vae else None)
    (out,) = stock.KSampler().sample(patcher, 1, 1, 2.0, "euler", "simple", positive, negative, latent)
    assert out["samples"].shape == (2, 3, 48, 64)
    assert stock.VAEDecode().decode(pixel_vae, out)[0].shape == (2, 48, 64, 3)


def test_the_image_reaches_two_of_the_conditionings(pixel_vae):
    image = torch.zeros(1, 96, 256, 4)  # wide, with alpha: its middle is taken
    image[:, :, 64:192, 0] = 1.0
    positive, image_only, negative, _ = execute(vae=pixel_vae, image=image)
    for conditioning, features in ((positive, text(6)), (image_only, text(1, 1)), (negative, text(1, 1))):
        assert torch.equal(conditioning[0][0], features[0][0])
        assert conditioning[0][1]["multiview_azimuths"] == [0.0, 90.0]
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 48, 64)  # pixel space is -1 to 1
    for conditioning in (positive, image_only):
        torch.testing.assert_close(conditioning[0][1]["multiview_image"], red, atol=0.02, rtol=0)
    assert "multiview_image" not in negative[0][1]


def test_a_second_node_replaces_the_first(pixel_vae):
    before, *_ = execute(vae=pixel_vae, image=torch.zeros(1, 48, 64, 3))
    after, *_ = execute(before, azimuths="10")
    assert after[0][1]["multiview_azimuths"] == [10.0] and "multiview_image" not in after[0][1]


@pytest.mark.parametrize(
    "images, sets, says", [(2, 1, "batch of 2, but batch_size is 1"), (2, 3, "set batch_size to 2 for one set")]
)
def test_one_image_or_one_a_set(pixel_vae, images, sets, says):
    with pytest.raises(ValueError, match=says):
        execute(vae=pixel_vae, image=torch.zeros(images, 48, 64, 3), batch_size=sets)
    positive, *_ = execute(vae=pixel_vae, image=torch.zeros(images, 48, 64, 3), batch_size=images)
    assert len(positive[0][1]["multiview_image"]) == images


def test_an_image_without_a_vae():
    with pytest.raises(ValueError, match="an image needs a VAE: connect the one that belongs to the model"):
        execute(image=torch.zeros(1, 48, 64, 3))


def test_a_vae_tells_channels_and_ratio():
    class Vae:
        latent_channels = 16

        def spacial_compression_encode(self):
            return 8

    assert empty_views(2, 1, 64, 48, Vae())["samples"].shape == (2, 16, 6, 8)
