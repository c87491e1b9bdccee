"""Pictures of models that work on a VAE's latents."""

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import save_file

from lumina_next.nextdit import MultiViewNextDiT, NextDiT, NextDiTConfig, save_model
from lumina_next.nextdit.encoders.image_vae import SCALING, VAEDecoder
from lumina_next.nextdit.models.multiview import MultiViewConfig
from lumina_next.pipelines import Models, Sampling, TextToImage, UndecodedError, ViewsRequest, text_to_image, views
from lumina_next.pipelines.pictures import to_pixels
from lumina_next.pipelines.sampling import noise
from lumina_next.pipelines.text_to_image import passes

CONFIG = NextDiTConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=128)
TWO = Sampling(2, cfg=1.0)
HALVES = Image.new("RGB", (128, 64), "white")
HALVES.paste("red", (0, 0, 64, 64))


def filled(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="module")
def theirs() -> AutoencoderKL:
    torch.manual_seed(0)
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return AutoencoderKL(
        block_out_channels=(32,) * 4, down_block_types=down, up_block_types=up, layers_per_block=1, latent_channels=4
    ).eval()


@pytest.fixture(scope="module")
def models(theirs, tmp_path_factory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    save_model(filled(NextDiT(CONFIG)), folder / "latent.safetensors")
    save_file(theirs.state_dict(), folder / "vae.safetensors")
    return Models(folder / "latent.safetensors", vae=folder / "vae.safetensors", device="cpu")


def test_pixels_become_the_latents_of_diffusers_and_back(models, theirs):
    pixels = to_pixels(HALVES, 128, 64)
    with torch.no_grad():
        latents = models.from_pixels(pixels)
        torch.testing.assert_close(latents, SCALING * theirs.encode(pixels).latent_dist.mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            models.to_pixels(latents), theirs.decode(latents / SCALING).sample, atol=1e-5, rtol=1e-4
        )


def test_a_picture_is_painted_over(models, theirs):
    """Against the parts put together, with diffusers' VAE."""
    drawn = text_to_image("fox", image=HALVES, denoise=0.5, models=models, sampling=Sampling(4, "uniform", cfg=1.0))
    network, encoder = models.network("image"), models.encoder()
    with torch.inference_mode():
        text, _ = encoder(["fox"])
        x = 0.5 * noise([0], 8, 16, 4) + 0.5 * SCALING * theirs.encode(to_pixels(HALVES, 128, 64)).latent_dist.mean
        for t in (0.5, 0.75):
            x = x + 0.25 * network(x, torch.tensor([t]), text)
        expected = theirs.decode(x / SCALING).sample.clamp(-1, 1)
    assert drawn.size == (128, 64) and (to_pixels(drawn, 128, 64) - expected).abs().max() < 0.02


def test_sizes_are_cropped_and_the_family_says_where_training_ended(models):
    assert text_to_image("fox", width=50, height=34, models=models, sampling=TWO).size == (50, 34)
    asked = TextToImage("fox", width=2048, height=1024, second_pass=0.3).resolved(models)
    assert asked.train_size == 1024
    first, second = passes(asked, models)
    assert (first.size, second.size) == ((91, 181), (128, 256))
    assert (first.sampling.steps, second.sampling.steps, second.begin) == (30, 9, 0.7)


def test_latents_that_cannot_be_decoded_come_with_the_error(models, monkeypatch):
    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(VAEDecoder, "forward", fail)
    with pytest.raises(UndecodedError, match="too little memory to decode") as caught:
        text_to_image("fox", width=64, height=48, models=models, sampling=TWO)
    assert caught.value.latents.shape == (1, 4, 6, 8) and caught.value.latents.isfinite().all()


def test_what_has_no_vae_is_told_where_to_get_one(models):
    with pytest.raises(ValueError, match="need vae: an SDXL VAE"):
        text_to_image("fox", models=Models(models.model, device="cpu"))
    with pytest.raises(ValueError, match=r"vae gone\.safetensors does not exist"):
        text_to_image("fox", models=Models(models.model, vae="gone.safetensors", device="cpu"))


def test_views_come_from_latents_too(models, tmp_path):
    save_model(filled(MultiViewNextDiT(MultiViewConfig.of(CONFIG))), tmp_path / "views.safetensors")
    several = Models(tmp_path / "views.safetensors", vae=models.vae, device="cpu")
    with pytest.raises(ValueError, match="does not say on which image size it was trained: set size to that size"):
        views(ViewsRequest("car"), several)
    request = ViewsRequest("car", HALVES, (0, 90), size=36, sampling=Sampling(1, cfg=2.0))
    assert [picture.size for picture in views(request, several)] == [(36, 36)] * 2
