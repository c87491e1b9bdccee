"""`lumina-next generate` when memory runs out: in words, and with the sampled latent kept."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lumina_next.cli import main
from lumina_next.cli.latents import write_latent
from lumina_next.nextdit import NextDiT
from lumina_next.nextdit.encoders.image_vae import VAEDecoder, load_vae_decoder
from lumina_next.pipelines import Models, UndecodedError

SIZE = ("--width", "64", "--height", "48", "--steps", "2", "--device", "cpu")
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 48.00 GiB.")


@pytest.fixture
def fails(capsys):
    """Run the command line, which must end with code 2, and one line on stderr after the progress; returns that."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr()
        line = said.err.rstrip("\n").rpartition("\n")[2]
        assert said.out == "" and line.startswith("lumina-next: ") and said.err.endswith("\n")
        return line

    return run


def no_memory(*args, **kwargs):
    raise OUT_OF_MEMORY


def run(model, vae, *arguments: object) -> int:
    return main(["generate", "fox", "--model", str(model), "--vae", str(vae), *SIZE, *map(str, arguments)])


def test_a_latent_that_cannot_be_decoded_is_kept(latent_model, vae, fails, monkeypatch):
    seen, inner = [], VAEDecoder.forward
    monkeypatch.setattr(VAEDecoder, "forward", lambda self, x: seen.append(x.clone()) or inner(self, x))
    assert run(latent_model, vae, "--batch", 2, "-o", "right.png") == 0
    monkeypatch.setattr(VAEDecoder, "forward", no_memory)
    said = fails("generate", "fox", "--model", latent_model, "--vae", vae, *SIZE, "--batch", 2, "-o", "fox.png")
    assert "cpu has too little memory to decode the picture" in said and "kept in fox.latent" in said
    assert "Load Latent" in said and not Path("fox-0.png").exists()
    kept = load_file("fox.latent")
    assert torch.equal(kept["latent_tensor"], seen[0])
    assert kept["latent_format_version_0"].numel() == 0  # without it Load Latent takes it for an older format
    assert [file.name for file in Path().iterdir() if "unfinished" in file.name] == []
    with torch.inference_mode():
        assert inner(load_vae_decoder(vae), kept["latent_tensor"]).shape == (2, 3, 48, 64)


def test_a_latent_is_kept_when_the_vae_itself_does_not_fit(latent_model, vae, fails, monkeypatch):
    monkeypatch.setattr(Models, "decoder", no_memory)
    assert "kept in lumina-next.latent" in fails("generate", "fox", "--model", latent_model, "--vae", vae, *SIZE)


def test_smaller_tiles_save_the_picture(latent_model, vae, monkeypatch):
    inner = VAEDecoder.forward

    def tight(self, latents):
        return no_memory() if latents.shape[-1] > 64 else inner(self, latents)

    monkeypatch.setattr(VAEDecoder, "forward", tight)
    assert run(latent_model, vae, "--width", 640, "--height", 24, "--steps", 1, "-o", "wide.png") == 0
    assert Path("wide.png").exists() and not Path("wide.latent").exists()


@pytest.mark.parametrize(
    "error", [OUT_OF_MEMORY, RuntimeError("MPS backend out of memory"), MemoryError()], ids=lambda e: type(e).__name__
)
def test_no_memory_for_sampling_is_said_in_words(error, latent_model, vae, fails, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(NextDiT, "forward", fail)
    said = fails("generate", "fox", "--model", latent_model, "--vae", vae, *SIZE, "--batch", 3)
    assert "cpu has too little memory for 3 pictures at once of 64×48 pixels" in said and "--batch" in said
    assert "GiB" not in said and not list(Path().glob("*.latent"))


def test_other_errors_are_not_taken_for_it(latent_model, vae, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("expected scalar type Half")

    for owner in (NextDiT, VAEDecoder):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="scalar type Half"):
            patch.setattr(owner, "forward", fail)
            run(latent_model, vae)


def test_a_latent_comes_over_from_a_worker(tmp_path):
    sent = pickle.loads(pickle.dumps(UndecodedError("too little memory", torch.ones(1, 4, 2, 2))))
    assert str(sent) == "too little memory"
    write_latent(tmp_path / "x.latent", sent.latents)
    assert torch.equal(load_file(tmp_path / "x.latent")["latent_tensor"], torch.ones(1, 4, 2, 2))
