"""Which VAE will decode a sampler's latent, read off the prompt."""

import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nodes.adapter.host import decoding


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


PROMPT = {
    "sampler": node("KSampler", latent_image=["empty", 0]),
    "larger": node("LatentUpscaleBy", samples=["sampler", 0]),
    "again": node("SamplerCustomAdvanced", latent_image=["larger", 0]),
    "decode": node("VAEDecode", samples=["again", 0], vae=["vae", 0]),
    "tiled": node("VAEDecodeTiled", samples=["sampler", 0], vae=["other", 0]),
    "vae": node("VAELoader", vae_name="pixel_space"),
    "other": node("VAELoader", vae_name="sdxl.safetensors"),
    "unrelated": node("VAEDecode", samples=["file", 0], vae=["other", 0]),
    "file": node("LoadLatent", latent="x"),
    "whole": node("CheckpointLoaderSimple", ckpt_name="x"),
    "of a checkpoint": node("VAEDecode", samples=["sampler", 0], vae=["whole", 2]),
}


def test_straight_and_through_other_stock_nodes():
    assert sorted(decoding.vaes_after(PROMPT, "sampler")) == ["pixel_space", "sdxl.safetensors"]
    assert list(decoding.vaes_after(PROMPT, "again")) == ["pixel_space"]
    assert list(decoding.vaes_after(PROMPT, "file")) == ["sdxl.safetensors"]
    assert list(decoding.vaes_after(PROMPT, None)) == list(decoding.vaes_after({}, "sampler")) == []


@pytest.mark.parametrize("link", [None, 3, "text", ["gone", 0], ["vae", 0], []])
def test_links_that_lead_elsewhere(link):
    prompt = {"decode": node("VAEDecode", samples=link, vae=link), "vae": node("VAELoader", vae_name=["x", 0])}
    assert list(decoding.vaes_after(prompt, "sampler")) == []


def test_a_ring_of_links_ends():
    prompt = {"a": node("LatentFlip", samples=["b", 0]), "b": node("LatentFlip", samples=["a", 0])}
    assert list(decoding.vaes_after(prompt | {"decode": node("VAEDecode", samples=["a", 0])}, "sampler")) == []


def test_channels_of_a_file(tmp_path, monkeypatch):
    folders = {**folder_paths.folder_names_and_paths, "vae": ([str(tmp_path)], {".safetensors", ".pt"})}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", folders)
    save_file({decoding.KEY: torch.zeros(8, 16, 3, 3)}, tmp_path / "flux.safetensors")
    save_file({decoding.KEY: torch.zeros(8, 16, 3, 3, 3)}, tmp_path / "video.safetensors")
    (tmp_path / "broken.safetensors").write_text("no")
    (tmp_path / "old.pt").write_text("no")
    names = ("flux.safetensors", "pixel_space", "taesd", "video.safetensors", "broken.safetensors", "old.pt", "gone")
    assert [decoding.channels_of(name) for name in names] == [16, 3, 4, None, None, None, None]


def test_outside_of_a_run_nothing_is_known():
    assert decoding.running_prompt()[1] is None
    decoding.check_decoders(4)
