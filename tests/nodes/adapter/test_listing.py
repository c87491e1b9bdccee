"""Whatever the loaders list they find, through links of every kind; nothing outside of the model folders is found."""

import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import NextDiT, NextDiTConfig
from lumina_next.nextdit.keys import to_reference_keys
from lumina_next.nodes.adapter.lora import apply as lora
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.text import folders
from lumina_next.tests.support.checkpoints import write_gemma

CONFIG = NextDiTConfig(dim=32, n_layers=1, n_heads=2, n_kv_heads=1, text_dim=24)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Model folders of a ComfyUI, each once more under `extra`, as extra_model_paths.yaml adds them."""
    kinds = {"diffusion_models": {".safetensors"}, "loras": {".safetensors"}, "diffusers": {"folder"}}
    paths = dict(folder_paths.folder_names_and_paths)
    for kind, endings in (kinds | {"text_encoders": {".safetensors"}, "LLM": set()}).items():
        places = [tmp_path / "models" / kind, tmp_path / "extra" / kind]
        for place in places:
            place.mkdir(parents=True)
        paths[kind] = ([str(place) for place in places], endings)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", paths)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    return tmp_path


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "elsewhere" / "repository"
    (folder / "transformer").mkdir(parents=True)
    weights = to_reference_keys(NextDiT(CONFIG).state_dict())
    save_file(weights, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    return folder


def ways(models, kind: str, target, name: str) -> list[str]:
    """Link to `target` in every way; return what the links are called in the list."""
    own, extra = models / "models" / kind, models / "extra" / kind
    (own / f"a{name}").symlink_to(target)
    (own / f"b{name}").symlink_to(own / f"a{name}")  # a link to a link
    (extra / f"c{name}").symlink_to(target)
    (own / "owner").mkdir()
    (own / "owner" / f"d{name}").symlink_to(target)
    shelf = models / "shelf"  # a linked folder that holds a link
    shelf.mkdir(exist_ok=True)
    (shelf / f"e{name}").symlink_to(target)
    (own / "shelf").symlink_to(shelf)
    return [f"a{name}", f"b{name}", f"c{name}", f"owner/d{name}", f"shelf/e{name}"]


@pytest.mark.parametrize("kind", ["diffusers", "diffusion_models"])
def test_linked_repositories(models, repository, kind):
    names = ways(models, kind, repository, "repo")
    assert set(names) <= set(loading.model_names())
    for name in names:
        assert loading.load(loading.find(name)).model.diffusion_model.config == CONFIG


def test_linked_model_files(models, repository):
    file = repository / "transformer" / "diffusion_pytorch_model.safetensors"
    names = ways(models, "diffusion_models", file, ".safetensors")
    assert set(names) == set(loading.model_names())
    for name in names:
        assert loading.load(loading.find(name)).model.diffusion_model.config == CONFIG


def test_linked_loras(models, tmp_path):
    save_file({"x": torch.ones(1)}, tmp_path / "style.safetensors")
    names = ways(models, "loras", tmp_path / "style.safetensors", ".safetensors")
    assert set(names) == set(lora.lora_names())
    assert all(lora.find(name).endswith(name) for name in names)


@pytest.mark.parametrize("kind", ["text_encoders", "LLM", "diffusers"])
def test_linked_text_encoders(models, tmp_path, kind):
    write_gemma(tmp_path / "elsewhere/gemma")
    names = ways(models, kind, tmp_path / "elsewhere/gemma", "gemma")
    assert set(names) == set(folders.llm_folders())
    for name in names:
        assert (folders.llm_folder(name) / "config.json").is_file() and folders.llm_fingerprint(name) != "missing"


def test_everything_listed_is_found(models, repository):
    ways(models, "diffusers", repository, "repo")
    for kind in ("diffusion_models", "diffusers"):
        (models / "models" / kind / "plain" / "transformer").mkdir(parents=True)
        (models / "models" / kind / "plain" / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert all(loading.find(name).exists() for name in loading.model_names())


def test_links_that_lead_nowhere_are_not_listed_and_named_in_the_error(models):
    for kind, name in (("diffusers", "dead"), ("diffusion_models", "dead.safetensors"), ("loras", "dead.safetensors")):
        (models / "models" / kind / name).symlink_to(models / "gone")
        (models / "models" / kind / f"loop-{name}").symlink_to(models / "models" / kind / f"loop-{name}")
    (models / "models" / "LLM" / "dead").symlink_to(models / "gone")
    (models / "models" / "diffusion_models" / "drive").symlink_to(models / "gone")
    assert loading.model_names() == [] == lora.lora_names() and folders.llm_folders() == {}
    for find, name in ((loading.find, "dead"), (loading.find, "dead.safetensors"), (lora.find, "dead.safetensors")):
        with pytest.raises(FileNotFoundError, match=f"{name} in .* leads to .*gone, which is gone; put it back"):
            find(name)
    with pytest.raises(FileNotFoundError, match="drive/model.safetensors in .* leads to .*gone, which is gone"):
        loading.find("drive/model.safetensors")
    with pytest.raises(FileNotFoundError, match="'dead' is gone"):
        folders.llm_folder("dead")


def test_a_link_to_the_folder_that_it_is_in_is_not_followed_for_ever(models, repository):
    root = models / "models" / "diffusers"
    (root / "repo").symlink_to(repository)
    (root / "self").symlink_to(root)
    (root / "owner").mkdir()
    (root / "owner" / "up").symlink_to(root)
    assert loading.model_names() == ["repo"]


def test_folders_that_may_not_be_read_are_passed_over(models, repository, monkeypatch):
    """lost+found at the root of a drive, for one."""
    (models / "models" / "diffusers" / "repo").symlink_to(repository)
    (models / "models" / "diffusers" / "lost+found").mkdir()
    iterdir = type(repository).iterdir

    def refuse(path):
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(type(repository), "iterdir", refuse)
    assert loading.model_names() == ["repo"] and folders.llm_folders() == {}


def test_parts_of_other_repositories_are_no_models(models):
    for name in ("sdxl/vae", "sdxl/unet", "owner/sdxl/vae"):
        folder = models / "models" / "diffusers" / name
        folder.mkdir(parents=True)
        (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert loading.model_names() == []


@pytest.mark.parametrize(
    "name", ["../outside", "../outside.safetensors", "a/../../outside", ".", "..", "", "/etc", "{}"]
)
def test_no_name_leads_out_of_the_model_folders(models, repository, name):
    for kind in ("diffusion_models", "diffusers", "loras"):
        (models / "models" / kind / "outside.safetensors").write_bytes(b"")  # "../x" is not this x either
    (models / "models" / "outside.safetensors").write_bytes(b"")
    (models / "models" / "outside").symlink_to(repository)
    name = name.format(repository)  # an absolute path
    for find in (loading.find, lora.find):
        with pytest.raises(FileNotFoundError, match="is no longer in"):
            find(name)
    with pytest.raises(FileNotFoundError, match="is gone or no longer holds an LLM"):
        folders.llm_folder(name)
