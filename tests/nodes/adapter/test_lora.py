"""LoRAs in a real ComfyUI: the node's patches are exact, what the stock loader knows, hooks, saving, training."""

import comfy.hooks
import comfy.lora
import comfy.model_patcher
import comfy.sd
import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nodes.adapter.lora import apply as lora
from lumina_next.nodes.loaders.load_lora import LoadLora
from lumina_next.tests.support.patch_models import OWN, load, load_own, prompt, sample

MODULES = {"layers.0.attention.wq": (64, 64), "layers.1.feed_forward.w1": (96, 64), "layers.2.attention.wv_y": (32, 20)}
DIFFUSERS = {
    "layers.0.attention.wq": ("layers.0.attn1.to_q", "layers.0.attn2.to_q"),
    "layers.1.feed_forward.w1": ("layers.1.feed_forward.linear_1",),
    "layers.2.attention.wv_y": ("layers.2.attn2.to_v",),
}
SPELLINGS = {
    "comfyui": lambda module: [f"diffusion_model.{module}"],
    "kohya": lambda module: ["lora_unet_" + module.replace(".", "_")],
    "reference": lambda module: [module],
    "peft": lambda module: [f"base_model.model.{module}"],
    "diffusers": lambda module: [f"transformer.{name}" for name in DIFFUSERS[module]],
}
STOCK = {"comfyui", "kohya"}


def factors(module: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(module))
    out, inner = MODULES[module]
    return 0.2 * torch.randn(out, 4, generator=generator), torch.randn(4, inner, generator=generator)


def write(file, spelling: str, **extra):
    weights = dict(extra)
    for module in MODULES:
        up, down = factors(module)
        for name in SPELLINGS[spelling](module):
            weights |= {f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down, f"{name}.alpha": torch.tensor(2.0)}
    save_file({key: tensor.clone() for key, tensor in weights.items()}, file)
    return str(file)


def merged(strength: float):
    """The model with the change written into its weights by hand."""
    model = load_own()
    weights = model.model.diffusion_model.state_dict()
    for module in MODULES:
        up, down = factors(module)
        weights[f"{module}.weight"] += strength * (up @ down) * 2.0 / 4
    model.model.diffusion_model.load_state_dict(weights)
    return model


@pytest.fixture
def loras(tmp_path, monkeypatch):
    folders = dict(folder_paths.folder_names_and_paths) | {"loras": ([str(tmp_path)], {".safetensors"})}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", folders)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_naming_samples_as_the_merged_model(loras, spelling):
    write(loras / "style.safetensors", spelling)
    model, exported, report = LoadLora.execute(load_own(), "style.safetensors", 0.7, "error").result
    torch.testing.assert_close(sample(model), sample(merged(0.7)), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(sample(model), sample(load_own()), atol=1e-2)
    assert report == "3 weights of the model are changed."
    # what comes out goes into the stock loader and is the same again
    stock, _ = comfy.sd.load_lora_for_models(load_own(), None, exported, 0.7, 0.0)
    assert torch.equal(sample(stock), sample(model))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_which_namings_the_stock_loader_knows(spelling):
    """The reason for the node: if a release learns the others, this fails and the help page can say so."""
    known = comfy.lora.model_lora_keys_unet(load_own().model, {})
    names = [name for module in MODULES for name in SPELLINGS[spelling](module)]
    assert {name in known for name in names} == {spelling in STOCK}


@pytest.mark.parametrize("strength", [0.0, -1.0, 2.0])
def test_strength(loras, strength):
    file = write(loras / "style.safetensors", "diffusers")
    model = load_own()
    result = sample(lora.apply(model, lora.load(model, file), strength))
    torch.testing.assert_close(result, sample(merged(strength)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_dora_of_peft_is_pefts_where_kohyas_is_the_stock_loaders(loras, strength):
    """PEFT divides by norms of the changed weight (arXiv 2402.09353, equation 5), ComfyUI by those of the weight."""
    module = "layers.1.feed_forward.w1"
    up, down = factors(module)
    magnitude = torch.linspace(0.5, 1.5, 96)[:, None]
    peft, kohya = f"base_model.model.{module}", "lora_unet_" + module.replace(".", "_")
    file = {
        f"{peft}.lora_B.weight": up,
        f"{peft}.lora_A.weight": down,
        f"{peft}.lora_magnitude_vector": magnitude[:, 0],
    }
    save_file({key: tensor.clone() for key, tensor in file.items()}, loras / "peft.safetensors")
    same = {f"{kohya}.lora_up.weight": up, f"{kohya}.lora_down.weight": down, f"{kohya}.dora_scale": magnitude}
    save_file(same, loras / "kohya.safetensors")
    model, merged_model = load_own(), load_own()
    weight = merged_model.model.diffusion_model.layers[1].feed_forward.w1.weight
    changed = weight.detach() + up @ down
    dora = magnitude * changed / changed.norm(dim=1, keepdim=True)
    weight.data += strength * (dora - weight.data)
    # on top of another change, that has been written into the weights, PEFT's model is still the one without it
    sample(lora.apply(model, lora.load(model, write(loras / "style.safetensors", "comfyui")), 1.0))
    ours = lora.apply(model, lora.load(model, str(loras / "peft.safetensors")), strength)
    torch.testing.assert_close(sample(ours), sample(merged_model), atol=1e-3, rtol=1e-3)
    ours = lora.apply(model, lora.load(model, str(loras / "kohya.safetensors")), strength)
    stock, _ = comfy.sd.load_lora_for_models(model, None, same, strength, 0.0)
    assert torch.equal(sample(ours), sample(stock))
    assert not torch.allclose(sample(stock), sample(merged_model), atol=1e-2)


def test_keys_that_match_nothing_stop_the_node_or_are_named(loras, caplog):
    write(loras / "style.safetensors", "reference", **{"layers.9.attention.wq.lora_A.weight": torch.ones(4, 64)})
    with pytest.raises(
        ValueError, match="style.safetensors: 3 weights.*\n1 key matches.*layers.9.*\nSet unmatched"
    ) as got:
        LoadLora.execute(load_own(), "style.safetensors", 1.0, "error")
    assert got.type is ValueError  # of a class of ours, ComfyUI would show the path
    model, _, report = LoadLora.execute(load_own(), "style.safetensors", 1.0, "skip").result
    assert "layers.9.attention.wq.lora_A.weight" in report and "layers.9" in caplog.text
    torch.testing.assert_close(sample(model), sample(merged(1.0)), atol=1e-4, rtol=1e-4)


def test_wrong_files_and_models_are_named(loras):
    save_file({"double_blocks.0.img_attn.qkv.lora_A.weight": torch.ones(4, 64)}, loras / "flux.safetensors")
    with pytest.raises(ValueError, match="flux.safetensors: no key matches this model; its keys look like Flux") as got:
        LoadLora.execute(load_own(), "flux.safetensors", 1.0, "error")
    assert got.type is ValueError
    file = write(loras / "style.safetensors", "comfyui")
    with pytest.raises(ValueError, match="was made for a model of another size: diffusion_model.layers.1.feed_forward"):
        lora.load(load("lumina_image_2"), file)

    class Flux(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.diffusion_model = torch.nn.Linear(2, 2)

    other = comfy.model_patcher.ModelPatcher(Flux(), torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(ValueError, match="Lumina-Image-2.0 and Z-Image, but got a Flux model; use ComfyUI's own Load"):
        lora.load(other, file)
    with pytest.raises(FileNotFoundError, match="gone.safetensors is no longer in models/loras"):
        LoadLora.execute(load_own(), "gone.safetensors", 1.0, "error")


def test_the_exported_lora_works_as_a_hook(loras):
    """LoRA hooks know only ComfyUI's naming; what the node hands out has it."""
    model = load_own()
    exported = lora.load(model, write(loras / "style.safetensors", "diffusers")).weights
    hooks = comfy.hooks.create_hook_lora(lora=exported, strength_model=1.0, strength_clip=0.0)
    hooked = [comfy.hooks.set_hooks_for_conditioning(cond, hooks=hooks) for cond in (prompt(6), prompt(6, 1))]
    result = sample(hooked_model(model), positive=hooked[0], negative=hooked[1])
    torch.testing.assert_close(result, sample(merged(1.0)), atol=1e-3, rtol=1e-3)


def hooked_model(model):
    clone = model.clone()
    clone.cached_patcher_init = (lambda **_: load_own(OWN), ())
    return clone
