"""`lumina-next inspect`: every kind of checkpoint is called by its name, and damage is said."""

import json
import os
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.cli import main
from lumina_next.demo import FOLDER as DEMO


def inspect(path, capsys) -> dict:
    assert main(["inspect", "--json", str(path)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_next_dit_of_the_reference_layout(capsys):
    facts = inspect(DEMO / "diffusion_models" / "lumina-next-demo.safetensors", capsys)
    assert (facts["kind"], facts["layout"]) == ("Next-DiT, text to image", "reference")
    assert (facts["config"]["dim"], facts["config"]["n_kv_heads"], facts["config"]["in_channels"]) == (192, 1, 3)
    assert facts["dtypes"] == {"BF16": facts["parameters"]}
    assert facts["bytes"] == os.path.getsize(facts["path"]) > 2 * facts["parameters"]


def test_prefix_and_dtypes_are_told(latent_model, capsys):
    weights = {f"model.diffusion_model.{key}": w for key, w in load_file(latent_model).items()}
    gate = "model.diffusion_model.layers.0.attention.gate"
    weights[gate] = weights[gate].half()
    save_file(weights, latent_model)
    facts = inspect(latent_model, capsys)
    assert facts["prefix"] == "model.diffusion_model."
    assert facts["dtypes"]["F16"] == 4 and list(facts["dtypes"]) == ["F32", "F16"]


def test_the_diffusers_layout_as_a_folder(tmp_path, capsys):
    from diffusers import LuminaNextDiT2DModel

    size = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 4, "cross_attention_dim": 16}
    LuminaNextDiT2DModel(sample_size=16, num_kv_heads=2, **size).save_pretrained(tmp_path / "transformer")
    facts = inspect(tmp_path, capsys)
    assert (facts["layout"], facts["config"]["text_dim"]) == ("diffusers", 16)


@pytest.mark.parametrize("inside", ["", "text_encoder"], ids=["Hugging Face", "diffusers"])
def test_a_text_encoder_folder(inside, tmp_path, capsys):
    shutil.copytree(DEMO / "text_encoders" / "lumina-next-demo", tmp_path / "llm" / inside)
    facts = inspect(tmp_path / "llm", capsys)
    assert facts["kind"] == "text encoder (gemma)"
    assert facts["config"]["width"] == 128 and facts["parameters"] > 0


def test_a_vae(vae, capsys):
    facts = inspect(vae, capsys)
    assert (facts["kind"], facts["layout"]) == ("VAE of SDXL's kind", "LDM")
    assert facts["config"] == {"latent_channels": 4}


def test_lumina_image_2_is_for_comfyui_itself(tmp_path, capsys):
    keys = ("noise_refiner.0.attention.qkv.weight", "layers.0.attention.qkv.weight", "cap_embedder.1.weight")
    save_file({key: torch.zeros(2, 2) for key in keys}, tmp_path / "z.safetensors")
    assert "which ComfyUI itself loads" in inspect(tmp_path / "z.safetensors", capsys)["kind"]


def test_text_output_has_a_line_a_fact(vae, capsys):
    assert main(["inspect", str(vae)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["kind"] == "VAE of SDXL's kind" and lines["dtypes"].startswith("F32 ")


def test_only_the_header_is_read(tmp_path, capsys):
    """8 GiB of weights that are all hole: reading them would take longer than the test may."""
    shape, size = [2**31, 2], 2**33
    header = {"noise_refiner.x": {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]}}
    encoded = json.dumps(header).encode()
    with (tmp_path / "big.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + size)
    assert inspect(tmp_path / "big.safetensors", capsys)["parameters"] == 2**32


def test_unknown_weights(tmp_path, fails):
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert "no model that this pack knows" in fails("inspect", tmp_path / "other.safetensors")


def test_a_truncated_file(latent_model, fails):
    os.truncate(latent_model, os.path.getsize(latent_model) - 1)
    assert "is not a whole safetensors file" in fails("inspect", latent_model)


def test_a_missing_key_is_named(latent_model, fails):
    weights = load_file(latent_model)
    del weights["layers.1.attention.wo.weight"]
    save_file(weights, latent_model)
    assert "layers.1.attention.wo.weight is missing" in fails("inspect", latent_model)


@pytest.mark.parametrize("content", ["not json", '{"model_type": "gemma"}'])
def test_a_broken_text_encoder_folder(content, tmp_path, fails):
    (tmp_path / "config.json").write_text(content)
    assert str(tmp_path) in fails("inspect", tmp_path)


def test_a_path_that_is_not_there(fails):
    assert "gone does not exist" in fails("inspect", "gone")
