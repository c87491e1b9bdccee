"""Load LLM Text Encoder as a node: what it lists, and what it says when a folder is gone or broken."""

import json
import shutil
from pathlib import Path

import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nodes.adapter.models.demo import DEMO
from lumina_next.nodes.adapter.text import folders
from lumina_next.nodes.adapter.text.clip import load_clip
from lumina_next.nodes.loaders.load_text_encoder import LoadTextEncoder
from lumina_next.tests.nodes.loaders.test_text_encoder import encode, pure
from lumina_next.tests.support.untrained_text_encoder import write


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A models folder of its own, instead of the user's."""
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    names = {name: ([str(tmp_path / name)], set()) for name in ("text_encoders", "diffusers", "LLM")}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {**folder_paths.folder_names_and_paths, **names})
    return tmp_path


def test_node_encodes(models, llm):
    shutil.copytree(llm, models / "LLM" / "owner" / "tiny")
    (clip,) = LoadTextEncoder.execute("owner/tiny", -2, 256, "default", "default").args
    assert torch.equal(encode(clip)[0], pure(llm)[0])


def test_listing(models, llm):
    shutil.copytree(llm, models / "text_encoders" / "gemma-2b")
    shutil.copytree(llm, models / "LLM" / "gemma-2b")  # the same name twice is listed once
    repository = models / "diffusers" / "Lumina-Next-SFT-diffusers"
    shutil.copytree(llm, repository / "text_encoder")
    (repository / "transformer").mkdir()
    (repository / "transformer" / "config.json").write_text(json.dumps({"_class_name": "LuminaNextDiT2DModel"}))
    for name, content in (("t5", {"model_type": "t5"}), ("vae", {"_class_name": "AutoencoderKL"})):
        (models / "text_encoders" / name).mkdir()
        (models / "text_encoders" / name / "config.json").write_text(json.dumps(content))
    (models / "LLM" / ".cache" / "x").mkdir(parents=True)
    assert folders.llm_folders() == {
        "gemma-2b": models / "text_encoders" / "gemma-2b",
        "Lumina-Next-SFT-diffusers": repository,
    }


def test_a_single_file_with_its_tokenizer_inside(models, llm):
    """As ComfyUI's own files are; those of encoders (T5), which have a tokenizer inside too, are not listed."""
    (models / "text_encoders").mkdir()
    tokenizer = torch.frombuffer(bytearray((llm / "tokenizer.json").read_bytes()), dtype=torch.uint8)
    weights = load_file(llm / "model.safetensors") | {"tokenizer_json": tokenizer}
    config = (llm / "config.json").read_text(encoding="utf-8")
    save_file(weights, models / "text_encoders/gemma.safetensors", metadata={"config": config})
    t5 = {"encoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(2, 2), "spiece_model": tokenizer}
    save_file(t5, models / "text_encoders/umt5.safetensors")
    assert list(folders.llm_folders()) == ["gemma.safetensors"]
    (clip,) = LoadTextEncoder.execute("gemma.safetensors", -2, 256, "default", "default").args
    assert torch.equal(encode(clip)[0], pure(llm)[0])
    assert "gemma.safetensors" in LoadTextEncoder.fingerprint_inputs(text_encoder="gemma.safetensors")
    with pytest.raises(ValueError, match="umt5.safetensors is no text encoder.*Load CLIP"):
        load_clip(models / "text_encoders/umt5.safetensors")


def test_listing_without_any_folder(models):
    assert folders.llm_folders() == {}


def test_the_packs_own_encoder_is_listed():
    assert folders.llm_folders()["lumina-next-demo"] == DEMO / "text_encoders/lumina-next-demo"


def test_folder_removed_after_listing(models, llm):
    folder = shutil.copytree(llm, models / "LLM" / "tiny")
    assert "tiny" in folders.llm_folders()
    shutil.rmtree(folder)
    assert LoadTextEncoder.fingerprint_inputs(text_encoder="tiny") == "missing"
    with pytest.raises(FileNotFoundError, match="'tiny' is gone.*found now: none.*models/LLM"):
        LoadTextEncoder.execute("tiny", -2, 256, "default", "default")


def test_replaced_file_changes_the_fingerprint(models, llm):
    folder = shutil.copytree(llm, models / "LLM" / "tiny")
    before = LoadTextEncoder.fingerprint_inputs(text_encoder="tiny", layer=-2)
    assert LoadTextEncoder.fingerprint_inputs(text_encoder="tiny", layer=-1) == before
    write(folder, seed=9)
    assert LoadTextEncoder.fingerprint_inputs(text_encoder="tiny", layer=-2) != before


def test_no_tokenizer(models, llm):
    folder = shutil.copytree(llm, models / "LLM" / "tiny")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no tokenizer.*download"):
        LoadTextEncoder.execute("tiny", -2, 256, "default", "default")


def test_truncated_weights(llm, tmp_path):
    folder = shutil.copytree(llm, tmp_path / "llm")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:5000])
    with pytest.raises(ValueError, match="model.safetensors is not a whole safetensors file"):
        load_clip(folder)


def test_locale_strings_and_help_pages_match_the_schema():
    root, schema = Path(__file__).parents[3], LoadTextEncoder.define_schema()
    for language in ("en", "zh", "ja"):
        texts = json.loads((root / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
        assert set(texts[schema.node_id]["inputs"]) == {item.id for item in schema.inputs}
    for page in (f"{schema.node_id}.md", f"{schema.node_id}/zh.md", f"{schema.node_id}/ja.md"):
        text = (root / "web" / "docs" / page).read_text(encoding="utf-8")
        assert all(f"`{item.id}`" in text for item in schema.inputs)
