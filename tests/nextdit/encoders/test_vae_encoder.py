"""The SDXL VAE's encoder equals diffusers' AutoencoderKL in both layouts, and says what is wrong with a file."""

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit.encoders.vae_encoder import load_vae_encoder
from lumina_next.tests.nextdit.encoders.test_vae import ldm_weights, stored, theirs  # noqa: F401 (fixtures)


def test_encodes_as_diffusers(stored, theirs):  # noqa: F811
    pixels = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = theirs.encode(pixels).latent_dist.mean
        got = load_vae_encoder(stored)(pixels)
    assert got.shape == (2, 4, 6, 5)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_names_are_those_of_the_published_file(theirs):  # noqa: F811
    """Names as they stand in sd_xl_base_1.0.safetensors, written down here rather than derived."""
    known = ["encoder.down.0.downsample.conv.weight", "encoder.down.1.block.0.nin_shortcut.weight", "quant_conv.bias"]
    known += ["encoder.mid.attn_1.q.weight", "encoder.norm_out.weight", "encoder.down.2.block.1.conv2.bias"]
    assert {*known} <= ldm_weights(theirs).keys()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("encoder.conv_out.weight"), r"encoder\.conv_out\.weight is missing"),
        (lambda w: w.pop("encoder.mid.block_1.conv1.weight"), r"encoder\.mid\.block_1\.conv1\.weight"),
        (lambda w: w.update({"encoder.norm_out.bias": torch.zeros(7)}), r"encoder\.norm_out\.bias"),
        (lambda w: w.pop("decoder.conv_in.weight"), "not an SDXL VAE"),
    ],
)
def test_a_damaged_file_is_named_with_the_key(damage, message, theirs, tmp_path):  # noqa: F811
    weights = ldm_weights(theirs)
    damage(weights)
    save_file(weights, tmp_path / "damaged.safetensors")
    with pytest.raises(ValueError, match=rf"damaged\.safetensors.*{message}"):
        load_vae_encoder(tmp_path / "damaged.safetensors")


def test_other_pictures_are_refused(theirs, tmp_path):  # noqa: F811
    save_file(ldm_weights(theirs), tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match="encodes 3 channels, got pixels of 4"):
        load_vae_encoder(tmp_path / "vae.safetensors")(torch.zeros(1, 4, 8, 8))
