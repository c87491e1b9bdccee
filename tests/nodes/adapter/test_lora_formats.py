"""Every format of ComfyUI's stock LoRA loader is the same change on both ways in, number for number."""

import copy

import comfy.lora
import comfy.lora_convert
import comfy.sd
import comfy.utils
import comfy.weight_adapter
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit.lora.add import add_lora
from lumina_next.nodes.adapter.lora import apply as lora
from lumina_next.tests.support.patch_models import load_own

W1, WQ, QNORM = "layers.1.feed_forward.w1", "layers.0.attention.wq", "layers.0.attention.q_norm"
SPELLINGS = {"comfyui": "diffusion_model.{}".format, "kohya": lambda module: "lora_unet_" + module.replace(".", "_")}
A, B = "lora_down.weight", "lora_up.weight"
# what the file calls each part of a change of a 96×64 weight (w1) → its shape
FORMATS: dict[str, dict[str, tuple[int, ...]]] = {
    "lora": {B: (96, 4), A: (4, 64)},
    "lora with alpha": {B: (96, 4), A: (4, 64), "alpha": ()},
    "lora of a convolution": {B: (96, 4, 1, 1), A: (4, 64, 1, 1), "alpha": (1,)},
    "lora with a middle": {B: (96, 4), A: (4, 64), "lora_mid.weight": (4, 4, 1, 1), "alpha": ()},
    "dora": {B: (96, 4), A: (4, 64), "alpha": (), "dora_scale": (96, 1)},
    "dora of inputs": {B: (96, 4), A: (4, 64), "dora_scale": (1, 64)},
    "lora and bias": {B: (96, 4), A: (4, 64)},
    "diffusers": {"lora_B.weight": (96, 4), "lora_A.weight": (4, 64)},
    "diffusers, old": {"lora.up.weight": (96, 4), "lora.down.weight": (4, 64)},
    "diffusers, oldest": {"_lora.up.weight": (96, 4), "_lora.down.weight": (4, 64)},
    "transformers": {"lora_linear_layer.up.weight": (96, 4), "lora_linear_layer.down.weight": (4, 64)},
    "mochi": {"lora_B": (96, 4), "lora_A": (4, 64)},
    "peft's adapter name": {"lora_B.default.weight": (96, 4), "lora_A.default.weight": (4, 64)},
    "loha": {"hada_w1_a": (96, 4), "hada_w1_b": (4, 64), "hada_w2_a": (96, 4), "hada_w2_b": (4, 64), "alpha": ()},
    "loha with dora": {
        **{f"hada_w{i}_a": (96, 4) for i in (1, 2)},
        **{f"hada_w{i}_b": (4, 64) for i in (1, 2)},
        "dora_scale": (96, 1),
    },
    "loha, tucker": {
        **{f"hada_w{i}_a": (4, 96) for i in (1, 2)},
        **{f"hada_w{i}_b": (3, 64) for i in (1, 2)},
        **{f"hada_t{i}": (4, 3, 1, 1) for i in (1, 2)},
        "alpha": (),
    },
    "lokr": {"lokr_w1": (8, 4), "lokr_w2": (12, 16), "alpha": ()},
    "lokr, half": {"lokr_w1": (8, 4), "lokr_w2_a": (12, 2), "lokr_w2_b": (2, 16), "alpha": ()},
    "lokr, other half": {"lokr_w1_a": (8, 2), "lokr_w1_b": (2, 4), "lokr_w2": (12, 16), "alpha": ()},
    "lokr, both": {
        **{"lokr_w1_a": (8, 2), "lokr_w1_b": (2, 4), "lokr_w2_a": (12, 3), "lokr_w2_b": (3, 16)},
        "alpha": (),
    },
    "lokr of a convolution": {"lokr_w1": (8, 4), "lokr_w2": (12, 16, 1, 1)},
    "lokr with dora": {"lokr_w1": (8, 4), "lokr_w2": (12, 16), "dora_scale": (96, 1)},
    "glora": {"a1.weight": (64, 4), "a2.weight": (4, 64), "b1.weight": (96, 4), "b2.weight": (4, 64), "alpha": ()},
    "glora, old": {"a1.weight": (4, 64), "a2.weight": (64, 4), "b1.weight": (4, 64), "b2.weight": (96, 4), "alpha": ()},
    "glora with dora": {
        **{"a1.weight": (64, 4), "a2.weight": (4, 64), "b1.weight": (96, 4), "b2.weight": (4, 64)},
        "dora_scale": (96, 1),
    },
    "oft": {"oft_blocks": (8, 12, 12), "alpha": ()},
    "oft, unconstrained": {"oft_blocks": (24, 4, 4)},
    "oft, rescaled": {"oft_blocks": (8, 12, 12), "rescale": (96, 1), "alpha": ()},
    "boft": {"oft_blocks": (3, 24, 4, 4), "alpha": ()},
    "boft, rescaled": {"oft_blocks": (2, 12, 8, 8), "rescale": (96, 1), "alpha": ()},
    "difference": {"diff": (96, 64)},
    "new weight": {"set_weight": (96, 64)},
}
OTHER_WEIGHTS: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "norm": (QNORM, {"w_norm": (64,), "b_norm": (64,)}),
    "norm's weight": (QNORM, {"w_norm": (64,)}),
    "differences of a norm": (QNORM, {"diff": (64,), "diff_b": (64,)}),
    "bias": ("x_embedder", {"diff_b": (64,)}),
    "lora and bias": ("x_embedder", {B: (64, 4), A: (4, 16), "diff_b": (64,)}),
    "gate": ("layers.0.attention.gate.norm", {"diff": (4,)}),
    "square glora": (
        WQ,
        {f"{name}.weight": (64, 4) if name in ("a1", "b1") else (4, 64) for name in ("a1", "a2", "b1", "b2")},
    ),
    "square glora, old": (
        WQ,
        {f"{n}.weight": (4, 64) if n in ("a1", "b1") else (64, 4) for n in ("a1", "a2", "b1", "b2")},
    ),
    "square dora": (WQ, {B: (64, 4), A: (4, 64), "dora_scale": (64, 1)}),
}
DOTTED_ONLY = {
    "a bias by its name": ("x_embedder.bias", {"diff": (64,)}),
    "a new bias": ("x_embedder.bias", {"set_weight": (64,)}),
    "a bare parameter": ("pad_token", {"diff": (64,)}),
}


def write(file, name: str, parts: dict[str, tuple[int, ...]], seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    made = {part: 0.3 * torch.randn(shape, generator=generator) for part, shape in parts.items()}
    made |= {"alpha": torch.full(parts["alpha"], 2.0)} if "alpha" in parts else {}
    tensors = {f"{name}{part}" if part.startswith("_") else f"{name}.{part}": tensor for part, tensor in made.items()}
    save_file(tensors, file)
    return tensors


def patched(model, patches: dict, strength: float) -> dict[str, torch.Tensor]:
    found = {}
    for key, patch in patches.items():
        key = key if isinstance(key, str) else key[0]
        weight = comfy.utils.get_attr(model.model, key).clone()
        found[key] = comfy.lora.calculate_weight([(strength, patch, 1.0, None, None)], weight, key)
    return found


def both(model, file, tensors, strength):
    """What the stock loader and this pack's make of a file: weights by their keys."""
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    stock = comfy.lora.load_lora(comfy.lora_convert.convert_lora(dict(tensors)), known)
    ours = comfy.lora.load_lora(lora.load(model, str(file)).weights, known)
    return patched(model, stock, strength), patched(model, ours, strength)


@pytest.fixture(scope="module")
def model():
    return load_own()


@pytest.mark.parametrize("strength", [1.0, -0.6])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "module, parts", [(W1, p) for p in FORMATS.values()] + list(OTHER_WEIGHTS.values()), ids=[*FORMATS, *OTHER_WEIGHTS]
)
def test_alike(tmp_path, model, caplog, module, parts, spelling, strength):
    file = tmp_path / "style.safetensors"
    tensors = write(file, SPELLINGS[spelling](module), parts)
    stock, ours = both(model, file, tensors, strength)
    assert set(stock) == set(ours) != set() and "ERROR" not in caplog.text and "not loaded" not in caplog.text
    for key, weight in stock.items():
        assert torch.equal(weight, ours[key])
        assert not torch.equal(weight, comfy.utils.get_attr(model.model, key))


@pytest.mark.parametrize("case", DOTTED_ONLY)
def test_alike_for_biases_and_bare_parameters(tmp_path, model, case):
    module, parts = DOTTED_ONLY[case]
    tensors = write(tmp_path / "style.safetensors", f"diffusion_model.{module}", parts)
    stock, ours = both(model, tmp_path / "style.safetensors", tensors, 1.0)
    assert list(stock) == list(ours) == [f"diffusion_model.{module}"]
    assert torch.equal(*stock.values(), *ours.values())


IN_COMFYUI_ONLY = (
    "lora with a middle",
    "loha, tucker",
    *(name for name in FORMATS if name.startswith(("glora", "oft", "boft"))),
)


@pytest.mark.parametrize("strength", [1.0, -0.6])
@pytest.mark.parametrize("case", [*FORMATS, *OTHER_WEIGHTS, *DOTTED_ONLY])
def test_without_comfyui_the_weights_become_the_same_or_the_format_is_refused(tmp_path, model, case, strength):
    module, parts = {**{name: (W1, p) for name, p in FORMATS.items()}, **OTHER_WEIGHTS, **DOTTED_ONLY}[case]
    file = tmp_path / "style.safetensors"
    write(file, f"diffusion_model.{module}", parts)
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    network = copy.deepcopy(model.model.diffusion_model)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    if case in IN_COMFYUI_ONLY or "glora" in case:
        with pytest.raises(ValueError, match=f"style.safetensors: {module} is changed by a product"):
            add_lora(network, file, strength)
        expected = {}
    else:
        add_lora(network, file, strength)
        expected = patched(model, comfy.lora.load_lora(lora.load(model, str(file)).weights, known), strength)
    for key, tensor in network.state_dict().items():
        theirs = expected.get(f"diffusion_model.{key}")
        assert torch.equal(tensor, before[key]) if theirs is None else not torch.equal(tensor, before[key])
        if theirs is not None:
            torch.testing.assert_close(tensor, theirs, rtol=1e-5, atol=1e-5)


def test_every_adapter_of_this_comfyui_is_among_them(tmp_path, model):
    """A new kind in a coming release fails here, and has to be read or refused by name."""
    names = set()
    for parts in FORMATS.values():
        write(tmp_path / "style.safetensors", f"diffusion_model.{W1}", parts)
        patches = comfy.lora.load_lora(
            lora.load(model, str(tmp_path / "style.safetensors")).weights, {f"diffusion_model.{W1}": "w"}
        )
        names |= {patch.name for patch in patches.values() if isinstance(patch, comfy.weight_adapter.WeightAdapterBase)}
    assert names == {adapter.name for adapter in comfy.weight_adapter.adapters}


def test_butterflies_without_a_constraint_work_where_the_stock_loader_gives_up(tmp_path, model):
    tensors = write(tmp_path / "style.safetensors", f"diffusion_model.{W1}", {"oft_blocks": (3, 24, 4, 4)})
    _, ours = both(model, tmp_path / "style.safetensors", tensors, 1.0)
    free = tensors | {f"diffusion_model.{W1}.alpha": torch.tensor(0.0)}
    stock = patched(model, comfy.lora.load_lora(free, {f"diffusion_model.{W1}": f"diffusion_model.{W1}.weight"}), 1.0)
    assert torch.equal(*stock.values(), *ours.values())


@pytest.mark.parametrize("outer", [{"lokr_w1": (8, 4)}, {"lokr_w1_a": (8, 2), "lokr_w1_b": (2, 4)}])
def test_lokr_with_a_core_works_where_the_stock_loader_gives_up(tmp_path, model, outer):
    parts = outer | {"lokr_w2_a": (2, 12), "lokr_w2_b": (3, 16), "lokr_t2": (2, 3, 1, 1), "alpha": ()}
    tensors = write(tmp_path / "style.safetensors", f"diffusion_model.{W1}", parts)
    _, ours = both(model, tmp_path / "style.safetensors", tensors, 1.0)
    made = {key.rpartition(".")[2]: tensor for key, tensor in tensors.items()}
    w1 = made["lokr_w1"] if "lokr_w1" in made else made["lokr_w1_a"] @ made["lokr_w1_b"]
    w2 = torch.einsum("ijkl,jr,ip->pr", made["lokr_t2"], made["lokr_w2_b"], made["lokr_w2_a"]).contiguous()
    before = comfy.utils.get_attr(model.model, f"diffusion_model.{W1}.weight")
    torch.testing.assert_close(*ours.values(), before + torch.kron(w1, w2) * 2 / 3)


@pytest.mark.parametrize(
    "part, shape, says",
    [
        ("oft_R.weight", (8, 6), "PEFT's OFT"),
        ("boft_R", (1, 8, 12, 12), "PEFT's BOFT"),
        ("ia3_l", (96, 1), "PEFT's IA3"),
        ("vera_lambda_d", (4,), "PEFT's VERA"),
    ],
)
def test_other_formats_are_refused_with_their_name_and_the_stock_loaders(tmp_path, model, part, shape, says):
    file = tmp_path / "style.safetensors"
    tensors = write(file, f"diffusion_model.{W1}", {part: shape})
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    assert not comfy.lora.load_lora(tensors, known)  # or the message would lie
    with pytest.raises(
        ValueError, match=rf"style.safetensors: it holds {says}.*nor ComfyUI's own Load LoRA reads"
    ) as got:
        lora.load(model, str(file))
    assert got.type is ValueError


def test_a_part_of_another_format_is_named_too(tmp_path, model):
    file = tmp_path / "style.safetensors"
    write(file, f"diffusion_model.{W1}", FORMATS["lora"])
    save_file(load_file(file) | {f"diffusion_model.{WQ}.vera_lambda_d": torch.ones(4)}, file)
    with pytest.raises(ValueError, match=r"PEFT's VERA, which is not read(.|\n)*Load LoRA does not read PEFT's VERA"):
        lora.load(model, str(file))
    assert "vera_lambda_d" in lora.load(model, str(file), keep_unmatched=True).report()


def test_oft_says_what_is_left_out(tmp_path, model):
    write(tmp_path / "style.safetensors", f"diffusion_model.{W1}", FORMATS["oft, rescaled"])
    assert "OFT's rescale is not applied: " in lora.load(model, str(tmp_path / "style.safetensors")).report()
