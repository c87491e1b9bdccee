"""Small checkpoints on disk: a latent-space Next-DiT, and a VAE for it."""

import pytest
import torch

from lumina_next.cli import main
from lumina_next.nextdit import NextDiT, NextDiTConfig, save_model
from lumina_next.nextdit.encoders.image_vae import DecoderConfig, VAEDecoder

LATENT = NextDiTConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=128)  # 128: the packaged text encoder's


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def latent_model(tmp_path_factory):
    torch.manual_seed(0)
    model = NextDiT(LATENT)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape))
    file = tmp_path_factory.mktemp("models") / "latent.safetensors"
    save_model(model, file)
    return file


@pytest.fixture
def vae(tmp_path_factory):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("vae") / "vae.safetensors"
    save_file(VAEDecoder(DecoderConfig(widths=(32, 32, 32, 32), blocks=1)).state_dict(), file)
    return file


@pytest.fixture
def fails(capsys):
    """Run the command line, which must end with code 2 and one line on stderr; returns that line."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("lumina-next: ") and said.err.count("\n") == 1
        return said.err

    return run
