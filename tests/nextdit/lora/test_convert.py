"""LoRA files of every naming: the same change of the same weights, and sentences for what does not fit."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import NextDiT, NextDiTConfig
from lumina_next.nextdit.lora.convert import convert
from lumina_next.nextdit.lora.files import read_lora
from lumina_next.nextdit.lora.parts import WrongLora

CONFIG = NextDiTConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24, ffn_dim=48)


SHAPES = {key: tuple(tensor.shape) for key, tensor in NextDiT(CONFIG).state_dict().items()}


# Spelt out from diffusers' LuminaNextDiT2DModel; the query is there twice.
THEIRS = {
    "layers.1.attention.wq": ("layers.1.attn1.to_q", "layers.1.attn2.to_q"),
    "layers.1.attention.wk_y": ("layers.1.attn2.to_k",),
    "layers.1.attention.wo": ("layers.1.attn2.to_out.0",),
    "layers.0.feed_forward.w2": ("layers.0.feed_forward.linear_2",),
    "layers.0.adaLN_modulation.1": ("layers.0.norm1.linear",),
    "cap_embedder.1": ("time_caption_embed.caption_embedder.1",),
    "final_layer.linear": ("norm_out.linear_2",),
}


UP_DOWN, A_B = ("lora_up.weight", "lora_down.weight"), ("lora_B.weight", "lora_A.weight")


NAMINGS = {
    "comfyui": (lambda ours, theirs: [f"diffusion_model.{ours}"], UP_DOWN),
    "kohya": (lambda ours, theirs: ["lora_unet_" + ours.replace(".", "_")], UP_DOWN),
    "kohya of diffusers names": (lambda ours, theirs: ["lora_unet_" + n.replace(".", "_") for n in theirs], UP_DOWN),
    "lycoris": (lambda ours, theirs: ["lycoris_" + n.replace(".", "_") for n in theirs], UP_DOWN),
    "onetrainer": (lambda ours, theirs: ["lora_transformer_" + n.replace(".", "_") for n in theirs], UP_DOWN),
    "reference": (lambda ours, theirs: [ours], A_B),
    "peft on the reference": (lambda ours, theirs: [f"base_model.model.{ours}"], A_B),
    "diffusers": (lambda ours, theirs: [f"transformer.{name}" for name in theirs], A_B),
    "peft on diffusers": (lambda ours, theirs: [f"base_model.model.{name}" for name in theirs], A_B),
    "peft with adapter name": (
        lambda ours, theirs: [f"base_model.model.{name}" for name in theirs],
        ("lora_B.default.weight", "lora_A.default.weight"),
    ),
}


def factors(module: str, rank: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed + len(module))
    out, inner = SHAPES[f"{module}.weight"]
    return torch.randn(out, rank, generator=generator), torch.randn(rank, inner, generator=generator)


def change(weights: dict[str, torch.Tensor], module: str) -> torch.Tensor:
    """What a converted plain LoRA adds to a module's weight."""
    up, down = (weights[f"diffusion_model.{module}.{part}"].float() for part in UP_DOWN)
    alpha = weights.get(f"diffusion_model.{module}.alpha")
    return up @ down * (1.0 if alpha is None else float(alpha) / down.shape[0])


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_is_the_same_change(naming):
    spell, parts = NAMINGS[naming]
    file = {}
    for module, theirs in THEIRS.items():
        for name in spell(module, theirs):
            file |= {f"{name}.{part}": tensor for part, tensor in zip(parts, factors(module), strict=True)}
            file[f"{name}.alpha"] = torch.tensor(1.5)
    converted = convert(file, SHAPES)
    assert converted.modules == len(THEIRS) and not converted.unmatched and not converted.notes
    for module in THEIRS:
        up, down = factors(module)
        torch.testing.assert_close(change(converted.weights, module), up @ down / 2)


@pytest.mark.parametrize("alphas", [(None, None), (1.5, 6.0)])
def test_two_different_changes_of_one_query_are_averaged_and_said(alphas):
    file, expected = {}, 0
    for seed, (name, alpha) in enumerate(zip(THEIRS["layers.1.attention.wq"], alphas, strict=True)):
        up, down = factors("layers.1.attention.wq", rank=3, seed=seed)
        file |= {f"transformer.{name}.lora_B.weight": up, f"transformer.{name}.lora_A.weight": down}
        if alpha is not None:
            file[f"transformer.{name}.alpha"] = torch.tensor(alpha)
        expected += up @ down * (1.0 if alpha is None else alpha / 3) / 2
    converted = convert(file, SHAPES)
    torch.testing.assert_close(change(converted.weights, "layers.1.attention.wq"), expected)
    assert "mean is used: layers.1.attention.wq" in converted.report()


def test_a_change_of_one_copy_of_the_query_counts_half():
    up, down = factors("layers.1.attention.wq")
    name = "transformer.layers.1.attn2.to_q"
    converted = convert({f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down}, SHAPES)
    torch.testing.assert_close(change(converted.weights, "layers.1.attention.wq"), up @ down / 2)
    assert converted.notes


def test_pefts_dora_magnitudes_become_a_column():
    up, down = factors("layers.0.feed_forward.w2")
    name = "base_model.model.layers.0.feed_forward.w2"
    file = {f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down, f"{name}.lora_magnitude_vector": up[:, 0]}
    assert convert(file, SHAPES).weights["diffusion_model.layers.0.feed_forward.w2.dora_scale"].shape == (32, 1)


@pytest.mark.parametrize(
    "parts",
    [
        {"hada_w1_a": (32, 2), "hada_w1_b": (2, 48), "hada_w2_a": (32, 2), "hada_w2_b": (2, 48)},
        {"lokr_w1": (4, 6), "lokr_w2": (8, 8)},
        {"lokr_w1": (4, 6), "lokr_w2_a": (8, 2), "lokr_w2_b": (2, 8)},
        {"diff": (32, 48)},
    ],
)
def test_other_kinds_of_change(parts):
    name = "lora_unet_layers_0_feed_forward_w2"
    converted = convert({f"{name}.{part}": torch.ones(shape) for part, shape in parts.items()}, SHAPES)
    assert set(converted.weights) == {f"diffusion_model.layers.0.feed_forward.w2.{part}" for part in parts}
    wrong = {f"{name}.{part}": torch.ones(shape[0] + 1, *shape[1:]) for part, shape in parts.items()}
    with pytest.raises(WrongLora, match="layers_0_feed_forward_w2 is (incomplete or|[0-9]+×)"):
        convert(wrong, SHAPES)


def test_biases_and_the_gate():
    file = {"diffusion_model.x_embedder.diff_b": torch.ones(32), "layers.0.attention.gate.diff": torch.ones(4)}
    converted = convert(file, SHAPES)
    assert "diffusion_model.layers.0.attention.gate.norm.diff" in converted.weights
    with pytest.raises(WrongLora, match="x_embedder has a bias of 31, the model has 32"):
        convert({"diffusion_model.x_embedder.diff_b": torch.ones(31)}, SHAPES)


@pytest.mark.parametrize("rslora, expected", [(False, 12.0), (True, 24.0)])
def test_alpha_beside_the_tensors(tmp_path, rslora, expected):
    up, down = factors("layers.0.feed_forward.w2", rank=4)
    file = {"layers.0.feed_forward.w2.lora_B.weight": up, "layers.0.feed_forward.w2.lora_A.weight": down}
    said = {"r": 4, "lora_alpha": 12, "use_rslora": rslora}
    save_file(file, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    in_file = {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in said.items()})}
    save_file(file, tmp_path / "pytorch_lora_weights.safetensors", in_file)
    for name in ("adapter_model", "pytorch_lora_weights"):
        weights, config = read_lora(tmp_path / f"{name}.safetensors")
        torch.testing.assert_close(
            change(convert(weights, SHAPES, config).weights, "layers.0.feed_forward.w2"), up @ down * expected / 4
        )


FUSED = {"to_qkv": (("wq", "wk", "wv"), (32, 16, 16), "attn1"), "to_kv": (("wk_y", "wv_y"), (16, 16), "attn2")}


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("spell", ["transformer.layers.1.{}.{}", "lora_unet_layers_1_{}_{}", "layers.1.{}.{}"])
def test_a_lora_of_joined_layers_is_cut_into_theirs(fused, spell):
    layers, rows, attention = FUSED[fused]
    inner = SHAPES[f"layers.1.attention.{layers[0]}.weight"][1]
    up, down = torch.randn(sum(rows), 3), torch.randn(3, inner)
    name = spell.format(attention, fused)
    file = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.alpha": torch.tensor(1.5)}
    converted = convert(file, SHAPES)
    assert converted.modules == len(layers) and not converted.unmatched
    for layer, piece in zip(layers, (up @ down / 2).split(rows), strict=True):
        share = 0.5 if layer == "wq" else 1.0  # diffusers has the query once more, for the text
        torch.testing.assert_close(change(converted.weights, f"layers.1.attention.{layer}"), share * piece)


def test_what_cannot_be_cut_into_rows_is_refused():
    file = {
        "transformer.layers.1.attn1.to_qkv.lokr_w1": torch.ones(8, 8),
        "transformer.layers.1.attn1.to_qkv.lokr_w2": torch.ones(8, 4),
    }
    with pytest.raises(
        WrongLora, match="to_qkv is incomplete.*layers joined in one, and cannot be cut into their 32×16×16 rows"
    ):
        convert(file, SHAPES)


def copies(kind: str, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Parts of a change of a query of 32×32, and the change."""
    draw = torch.Generator().manual_seed(seed)
    a, b, c, d = (torch.randn(shape, generator=draw) for shape in ((32, 3), (3, 32), (32, 3), (3, 32)))
    if kind == "loha":
        parts = {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d, "alpha": torch.tensor(6.0)}
        return parts, 2 * (a @ b) * (c @ d)
    if kind == "lokr":
        w1, w2 = a[:4, :2], b[:, :16].repeat(3, 1)[:8]
        return {"lokr_w1": w1, "lokr_w2": w2}, torch.kron(w1, w2)
    return {"diff": a @ b}, a @ b


@pytest.mark.parametrize("kind", ["loha", "lokr", "diff"])
@pytest.mark.parametrize("both", [True, False])
def test_the_mean_of_other_changes_of_the_two_queries_is_a_difference(kind, both):
    file, expected = {}, 0
    for seed, name in enumerate(THEIRS["layers.1.attention.wq"][: 1 + both]):
        parts, made = copies(kind, seed)
        file |= {f"transformer.{name}.{part}": tensor for part, tensor in parts.items()}
        expected = expected + made / 2
    converted = convert(file, SHAPES)
    assert (
        set(converted.weights) == {"diffusion_model.layers.1.attention.wq.diff"}
        and "mean is used" in converted.report()
    )
    torch.testing.assert_close(
        converted.weights["diffusion_model.layers.1.attention.wq.diff"], expected, atol=1e-4, rtol=1e-4
    )


def test_changes_without_a_mean_are_refused():
    file = {
        f"transformer.{n}.set_weight": torch.full((32, 32), float(i))
        for i, n in enumerate(THEIRS["layers.1.attention.wq"])
    }
    with pytest.raises(WrongLora, match="attn1.to_q and .*attn2.to_q change one weight differently"):
        convert(file, SHAPES)
