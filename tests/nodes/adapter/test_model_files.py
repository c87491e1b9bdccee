"""Files of a native model in ComfyUI: every layout and dtype loads, saves, is listed, or is named when it is none."""

import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.utils
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit import NextDiT
from lumina_next.nextdit.keys import to_reference_keys
from lumina_next.nodes.adapter.models import detection, loading
from lumina_next.tests.nodes.adapter.conftest import CONFIG, sample


def test_core_loads_every_single_file_layout(file, tmp_path):
    expected = sample(loading.load(file))
    weights = load_file(file)
    for prefix in ("", "model.diffusion_model.", "diffusion_model.", "model.", "module.", "transformer."):
        prefixed = tmp_path / f"{prefix or 'plain'}.safetensors"
        save_file({prefix + key: tensor for key, tensor in weights.items()}, prefixed)
        torch.testing.assert_close(sample(comfy.sd.load_diffusion_model(str(prefixed))), expected, atol=0, rtol=0)


def test_saving_gives_the_reference_layout_back(patcher, file, tmp_path):
    weights = patcher.model.state_dict_for_saving(patcher.model.diffusion_model.state_dict())
    assert set(weights) == {f"model.diffusion_model.{key}" for key in load_file(file)}
    save_file({key: x.contiguous() for key, x in weights.items()}, tmp_path / "saved.safetensors")
    again = comfy.sd.load_diffusion_model(str(tmp_path / "saved.safetensors"))
    torch.testing.assert_close(sample(again), sample(patcher), atol=0, rtol=0)


@pytest.mark.parametrize("weight_dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
def test_fp8_weights_stay_fp8_and_stay_close(patcher, file, weight_dtype):
    small = loading.load(file, weight_dtype)
    assert small.model.diffusion_model.layers[0].attention.wq.weight.element_size() == 1
    exact, rough = sample(patcher, steps=2), sample(small, steps=2)
    assert 0 < (exact - rough).norm() / exact.norm() < 0.3


@pytest.mark.parametrize("style", ["scaled_fp8", "comfy_quant"])
def test_scaled_fp8_files(file, tmp_path, style):
    """Both of the ways in which ComfyUI users quantise: with a marker for the file, or with one beside each weight."""
    weights = load_file(file)
    for key in [key for key in weights if key.endswith(("wq.weight", "w1.weight"))]:
        scale = weights[key].abs().max() / 448
        weights[key] = (weights[key] / scale).to(torch.float8_e4m3fn)
        module = key.removesuffix(".weight")
        if style == "scaled_fp8":
            weights[f"{module}.scale_weight"] = scale
        else:
            weights[f"{module}.weight_scale"] = scale
            weights[f"{module}.comfy_quant"] = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    if style == "scaled_fp8":
        weights["scaled_fp8"] = torch.zeros(0, dtype=torch.float8_e4m3fn)
    save_file(weights, tmp_path / "scaled.safetensors")
    exact, rough = sample(loading.load(file), steps=2), sample(loading.load(tmp_path / "scaled.safetensors"), steps=2)
    assert 0 < (exact - rough).norm() / exact.norm() < 0.1


def test_folders_shards_and_pickles(file, tmp_path, patcher):
    folder = tmp_path / "repository"
    folder.mkdir()
    torch.save(load_file(file), folder / "consolidated.00-of-01.pth")
    loaded = loading.load(folder)
    torch.testing.assert_close(sample(loaded), sample(patcher), atol=0, rtol=0)
    factory, arguments = loaded.cached_patcher_init
    torch.testing.assert_close(sample(factory(*arguments, disable_dynamic=True)), sample(patcher), atol=0, rtol=0)


def test_listing_finds_files_and_repositories(file, tmp_path, monkeypatch):
    import folder_paths

    for name in ("repository/transformer", "repository/vae", "empty"):
        (tmp_path / name).mkdir(parents=True)
    weights = to_reference_keys(NextDiT(CONFIG).state_dict())
    save_file(weights, tmp_path / "repository/transformer/diffusion_pytorch_model.safetensors")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusers", ([str(tmp_path)], {"folder"}))
    assert "repository" in loading.model_names() and "empty" not in loading.model_names()
    assert loading.load(loading.find("repository")).model.diffusion_model.config == CONFIG
    with pytest.raises(FileNotFoundError, match="gone.safetensors is no longer in diffusion_models or diffusers"):
        loading.find("gone.safetensors")
    with pytest.raises(FileNotFoundError, match="no longer"):
        loading.find("../" + tmp_path.name)


def test_registering_twice_wraps_once():
    import comfy.model_detection
    import comfy.supported_models

    before = comfy.model_detection.detect_unet_config, len(comfy.supported_models.models)
    detection.register()
    assert (comfy.model_detection.detect_unet_config, len(comfy.supported_models.models)) == before


def test_other_models_are_left_to_core(tmp_path):
    assert detection.unet_config({"noise_refiner.0.attention.qkv.weight": torch.zeros(1)}, "") is None
    save_file({"noise_refiner.0.attention.qkv.weight": torch.zeros(1)}, tmp_path / "z.safetensors")
    with pytest.raises(ValueError, match="z.safetensors is Lumina-Image-2.0 or Z-Image, .*: use Load Diffusion Model"):
        loading.load(tmp_path / "z.safetensors")


def test_cores_loader_names_the_file_and_keys_too(file, tmp_path):
    weights = load_file(file)
    weights.pop("layers.1.attention.wo.weight")
    save_file(weights, tmp_path / "broken.safetensors")
    for load in (loading.load, lambda path: comfy.sd.load_diffusion_model(str(path))):
        with pytest.raises(ValueError, match="layers.1.attention.wo.weight is missing"):
            load(tmp_path / "broken.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut.safetensors is not a whole safetensors file"):
        loading.load(tmp_path / "cut.safetensors")
