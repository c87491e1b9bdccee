"""The SDXL VAE's decoder equals diffusers' AutoencoderKL in both layouts, and says what is wrong with a file."""

import re

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from lumina_next.nextdit.encoders import image_vae
from lumina_next.nextdit.encoders.image_vae import ldm_key, load_vae_decoder


@pytest.fixture(scope="module")
def theirs() -> AutoencoderKL:
    """A small VAE with two widths that differ, so that a shortcut and the order of the levels count."""
    torch.manual_seed(0)
    levels = ("UpDecoderBlock2D",) * 3
    widths = (32, 64, 96)
    downs = ("DownEncoderBlock2D",) * 3
    model = AutoencoderKL(
        block_out_channels=widths, up_block_types=levels, down_block_types=downs, layers_per_block=2, latent_channels=4
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2 + (1.0 if "norm" in name else 0.0))
    return model


def ldm_weights(model: AutoencoderKL) -> dict[str, torch.Tensor]:
    """The same weights as LDM checkpoints have them: other names, the attention's linear layers as convolutions."""
    renamed = {ldm_key(key, levels=3): w for key, w in model.state_dict().items()}
    return {
        k: (w[..., None, None] if ".mid.attn_1." in k and w.ndim == 2 else w).contiguous() for k, w in renamed.items()
    }


@pytest.fixture(params=["diffusers file", "diffusers folder", "ldm", "ldm in a checkpoint", "old diffusers"])
def stored(request, theirs, tmp_path):
    """The small VAE on disk in one of the layouts that are around."""
    file = tmp_path / "vae.safetensors"
    weights = theirs.state_dict()
    if request.param == "diffusers folder":
        theirs.save_pretrained(tmp_path / "vae")
        return tmp_path
    if request.param.startswith("ldm"):
        weights = ldm_weights(theirs)
        # Names as they stand in sd_xl_base_1.0.safetensors, written down here rather than derived.
        known = ["decoder.mid.attn_1.proj_out.weight", "decoder.up.2.upsample.conv.bias", "decoder.norm_out.weight"]
        assert {*known, "decoder.up.0.block.0.nin_shortcut.weight", "decoder.up.2.block.2.norm1.bias"} <= weights.keys()
    if request.param == "ldm in a checkpoint":
        weights = {f"first_stage_model.{k}": w for k, w in weights.items()}
        weights["model.diffusion_model.out.0.weight"] = torch.zeros(3)
    if request.param == "old diffusers":
        names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        weights = {re.sub("|".join(names), lambda m: names[m[0]], k): w for k, w in weights.items()}
    save_file(weights, file)
    return file


def test_decodes_as_diffusers(stored, theirs):
    latents = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs.decode(latents).sample
        got = load_vae_decoder(stored)(latents)
    assert got.shape == (2, 3, 24, 20)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_attention_never_holds_all_scores_of_a_large_picture(monkeypatch):
    """GPUs have no kernel for one head of 512: on an H100 the scores of 2048² took 33 GiB."""
    torch.manual_seed(0)
    block, x = image_vae.AttentionBlock(64), torch.randn(2, 64, 8, 12)
    with torch.no_grad():
        whole = block(x)
        monkeypatch.setattr(image_vae, "SCORES", 1000)
        seen, attend = [], F.scaled_dot_product_attention

        def counted(q, k, v):
            seen.append(q.shape[2] * k.shape[2])
            return attend(q, k, v)

        monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
        torch.testing.assert_close(block(x), whole, atol=1e-6, rtol=1e-5)
    assert len(seen) == 10 and max(seen) <= 1000 and sum(seen) == 96**2


def test_half_precision_files_compute_in_float32(theirs, tmp_path):
    save_file({k: w.half() for k, w in theirs.state_dict().items()}, tmp_path / "vae.safetensors")
    assert load_vae_decoder(tmp_path / "vae.safetensors")(torch.randn(1, 4, 2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("decoder.mid.block_1.conv1.weight"), r"decoder\.mid\.block_1\.conv1\.weight"),
        (lambda w: w.pop("decoder.conv_out.weight"), r"decoder\.conv_out\.weight is missing"),
        (lambda w: w.update({"decoder.extra": torch.zeros(1)}), r"decoder\.extra"),
        (lambda w: w.update({"decoder.norm_out.bias": torch.zeros(7)}), r"decoder\.norm_out\.bias"),
        (lambda w: w.pop("decoder.conv_in.weight"), "not an SDXL VAE"),
    ],
)
def test_a_damaged_file_is_named_with_the_key(damage, message, theirs, tmp_path):
    weights = ldm_weights(theirs)
    damage(weights)
    save_file(weights, tmp_path / "damaged.safetensors")
    with pytest.raises(ValueError, match=rf"damaged\.safetensors.*{message}"):
        load_vae_decoder(tmp_path / "damaged.safetensors")


def test_latents_of_another_family_are_refused(theirs, tmp_path):
    save_file(ldm_weights(theirs), tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match="decodes 4 channels, but the latents have 16"):
        load_vae_decoder(tmp_path / "vae.safetensors")(torch.zeros(1, 16, 2, 2))
