"""LoRAs of Lumina-Image-2.0 and Z-Image in a real ComfyUI: every naming does to the weights what its names say.

The names are those of diffusers' own networks, and what they mean is what diffusers' own converters make of weights.
"""

from functools import cache

import comfy.lora
import comfy.sd
import pytest
import torch
from diffusers import Lumina2Transformer2DModel, ZImageTransformer2DModel
from diffusers.loaders import single_file_utils
from safetensors.torch import save_file
from torch import nn

from lumina_next.nextdit.lora.convert import convert
from lumina_next.nodes.adapter.lora import apply as lora
from lumina_next.tests.support.core_models import CORE
from lumina_next.tests.support.patch_models import load

KINDS = ("lumina_image_2", "z_image")
PREFIXES = {
    "diffusers": ("transformer.{}", False),
    "PEFT": ("base_model.model.{}", False),
    "ai-toolkit": ("diffusion_model.{}", False),
    "bare": ("{}", False),
    "kohya": ("lora_unet_{}", True),
    "LyCORIS": ("lycoris_{}", True),
    "OneTrainer": ("lora_transformer_{}", True),
}


def theirs(kind: str) -> nn.Module:
    """diffusers' network of the same sizes."""
    size = CORE[kind]
    shared = {"in_channels": 16, "cap_feat_dim": 20, "n_layers": 3, "n_refiner_layers": 1}
    if kind == "z_image":
        sizes = {key: size[key] for key in ("dim", "n_heads", "n_kv_heads", "axes_dims", "axes_lens")}
        return ZImageTransformer2DModel(**shared, **sizes)
    return Lumina2Transformer2DModel(
        in_channels=16,
        hidden_size=96,
        num_layers=3,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        ffn_dim_multiplier=1.0,
        axes_dim_rope=(8, 8, 8),
        cap_feat_dim=20,
    )


def as_theirs(kind: str, weights: dict) -> dict:
    """Our weights under diffusers' names, by diffusers' converter."""
    if kind == "z_image":
        return single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers(dict(weights))
    split = torch.split
    with pytest.MonkeyPatch.context() as patch:  # the converter knows the released size only
        patch.setattr(torch, "split", lambda x, sizes, dim: split(x, [96, 48, 48], dim))
        return single_file_utils.convert_lumina2_to_diffusers(dict(weights))


@cache
def linears(kind: str) -> dict[str, tuple[int, ...]]:
    """What diffusers' network calls its linear layers, and how large core's are."""
    weights = as_theirs(kind, load(kind).model.diffusion_model.state_dict())
    names = [name for name, module in theirs(kind).named_modules() if type(module) is nn.Linear]
    return {name: tuple(weights[f"{name}.weight"].shape) for name in names}


def change(name: str, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(name) + sum(shape))
    return 0.1 * torch.randn(shape[0], 4, generator=generator), torch.randn(4, shape[1], generator=generator)


def patched(model) -> dict[str, torch.Tensor]:
    """The weights of a MODEL with its patches."""
    model.patch_model()
    weights = {key: x.clone() for key, x in model.model.diffusion_model.state_dict().items()}
    model.unpatch_model()
    return weights


def write(file, names: dict[str, tuple[int, ...]], naming: str, parts: str = "lora_{}.weight") -> str:
    prefix, underscored = PREFIXES[naming]
    down, up = ("down", "up") if underscored else ("A", "B")
    weights = {}
    for name, shape in names.items():
        key = prefix.format(name.replace(".", "_") if underscored else name)
        b, a = change(name, shape)
        weights |= {f"{key}.{parts.format(up)}": b, f"{key}.{parts.format(down)}": a, f"{key}.alpha": torch.tensor(2.0)}
    save_file({key: x.contiguous().clone() for key, x in weights.items()}, file)
    return str(file)


@cache
def by_stock(kind: str) -> dict[str, torch.Tensor]:
    """Weights with the same changes, by the stock loader: of Z-Image it reads diffusers' names itself."""
    weights = {}
    for name, shape in linears(kind).items():
        up, down = change(name, shape)
        weights |= {f"transformer.{name}.lora_B.weight": up, f"transformer.{name}.lora_A.weight": down}
        weights |= {f"transformer.{name}.alpha": torch.tensor(2.0)}
    if kind != "z_image":
        shapes = {key: tuple(x.shape) for key, x in load(kind).model.diffusion_model.state_dict().items()}
        weights = convert(weights, shapes).weights
    return patched(comfy.sd.load_lora_for_models(load(kind), None, weights, 0.7, 0.0)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("naming", PREFIXES)
def test_every_layer_in_every_naming_gets_its_change(kind, naming, tmp_path):
    names = linears(kind)
    loaded = lora.load(load(kind), write(tmp_path / "style.safetensors", names, naming))
    assert not loaded.unmatched and len(names) > 30
    before = as_theirs(kind, load(kind).model.diffusion_model.state_dict())
    ours = patched(lora.apply(load(kind), loaded, 0.7))
    assert all(torch.equal(x, by_stock(kind)[key]) for key, x in ours.items())
    after = as_theirs(kind, ours)
    assert set(before) == set(after)
    for key, weight in after.items():
        name, wanted = key.removesuffix(".weight"), before[key]
        if key.endswith(".weight") and name in names:
            up, down = change(name, names[name])
            wanted = wanted + 0.7 * (2.0 / 4) * (up @ down)
        torch.testing.assert_close(weight, wanted, atol=1e-6, rtol=1e-5)


def test_comfyuis_own_names_do_to_the_bit_what_the_stock_loader_does(tmp_path):
    names = {
        f"diffusion_model.{key.removesuffix('.weight')}": tuple(x.shape)
        for key, x in load("lumina_image_2").model.diffusion_model.state_dict().items()
        if x.ndim == 2
    }
    weights = {}
    for name, shape in names.items():
        up, down = change(name, shape)
        weights |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
    save_file(weights, tmp_path / "style.safetensors")
    loaded = lora.load(load("lumina_image_2"), str(tmp_path / "style.safetensors"))
    stock, _ = comfy.sd.load_lora_for_models(load("lumina_image_2"), None, weights, 0.7, 0.0)
    ours, theirs = patched(lora.apply(load("lumina_image_2"), loaded, 0.7)), patched(stock)
    assert len(names) > 30 and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_diffsynths_adapter_name_is_read(tmp_path):
    file = write(tmp_path / "style.safetensors", linears("z_image"), "bare", "lora_{}.default.weight")
    assert not lora.load(load("z_image"), file).unmatched


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["to_q", "to_k", "to_v"])
def test_one_of_the_three_changes_its_rows_only_whatever_kind_of_change_it_is(kind, part, tmp_path):
    module = "diffusion_model.layers.1.attention.qkv.weight"
    whole = load(kind).model.diffusion_model.state_dict()[module.removeprefix("diffusion_model.")]
    query = CORE[kind]["dim"]
    other = (len(whole) - query) // 2
    start, rows = {"to_q": (0, query), "to_k": (query, other), "to_v": (query + other, other)}[part]
    generator = torch.Generator().manual_seed(1)
    a, c = (torch.randn(rows, 2, generator=generator) for _ in range(2))
    inner = whole.shape[1]
    right = [torch.randn(2, inner, generator=generator) for _ in range(2)]
    name = f"transformer.layers.1.attention.{part}"
    magnitude = 1 + torch.rand(rows, generator=generator)
    kinds = {
        "LoHa": {"hada_w1_a": a, "hada_w1_b": right[0], "hada_w2_a": c, "hada_w2_b": right[1]},
        "difference": {"diff": torch.randn(rows, inner, generator=generator)},
        "PEFT's DoRA": {"lora_B.weight": a, "lora_A.weight": right[0], "lora_magnitude_vector": magnitude},
    }
    own = whole[start : start + rows]
    changed = own + a @ right[0]
    wanted = {
        "LoHa": own + (a @ right[0]) * (c @ right[1]),
        "difference": own + kinds["difference"]["diff"],
        "PEFT's DoRA": magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True),
    }
    for what, parts in kinds.items():
        save_file({f"{name}.{key}": x.clone() for key, x in parts.items()}, tmp_path / "style.safetensors")
        model = load(kind)
        after = patched(lora.apply(model, lora.load(model, str(tmp_path / "style.safetensors")), 1.0))
        expected = whole.clone()
        expected[start : start + rows] = wanted[what]
        got = after[module.removeprefix("diffusion_model.")]
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4, msg=lambda text, what=what: f"{what}: {text}")


def test_what_does_not_fit_is_named(tmp_path):
    file = write(tmp_path / "style.safetensors", {"layers.9.attention.to_q": (256, 256)}, "diffusers")
    with pytest.raises(ValueError, match="no key matches this model"):
        lora.load(load("z_image"), file)
    file = write(tmp_path / "style.safetensors", {"layers.1.attention.to_k": (256, 256)}, "diffusers")
    with pytest.raises(ValueError, match=r"to_k is 256×256, the model has 48×96"):
        lora.load(load("lumina_image_2"), file)
    both = {"layers.1.attention.to_k": (48, 96), "layers.1.attention.qkv": (192, 96)}
    with pytest.raises(ValueError, match=r"layers.1.attention.qkv and .*to_k change the same; keep one"):
        lora.load(load("lumina_image_2"), write(tmp_path / "style.safetensors", both, "diffusers"))
    flux = {"double_blocks.0.img_attn.qkv.lora_A.weight": torch.ones(4, 64)}
    save_file(flux, tmp_path / "flux.safetensors")
    with pytest.raises(ValueError, match="no key matches this model; its keys look like Flux"):
        lora.load(load("z_image"), str(tmp_path / "flux.safetensors"))
    save_file({"layers.0.attn2.to_q.lora_A.weight": torch.ones(4, 64)}, tmp_path / "next.safetensors")
    with pytest.raises(ValueError, match="its keys look like Lumina-Next"):
        lora.load(load("z_image"), str(tmp_path / "next.safetensors"))


STOCK_READS = {"z_image": {"diffusers", "ai-toolkit", "bare", "LyCORIS"}, "lumina_image_2": set()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("naming", PREFIXES)
def test_which_namings_the_stock_loader_reads_whole(kind, naming):
    """What the help page says of it: if a release learns the others, this fails and the page can say so."""
    known = comfy.lora.model_lora_keys_unet(load(kind).model, {})
    prefix, underscored = PREFIXES[naming]
    names = [prefix.format(name.replace(".", "_") if underscored else name) for name in linears(kind)]
    assert all(name in known for name in names) == (naming in STOCK_READS[kind])
