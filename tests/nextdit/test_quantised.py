"""Quantised weights in plain PyTorch: what is read, bit for bit, and what is refused by name."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import PRESETS, NextDiT, NextDiTConfig, load_model
from lumina_next.nextdit.infer import infer_config
from lumina_next.nextdit.keys import to_reference_keys
from lumina_next.nextdit.quantised import FORMATS, dequantise, marker

SCALES = {"nvfp4": {"weight_scale_2": ()}, "mxfp8": {"weight_scale": (128, 4)}}  # of the forms that fill up
CONFIG = NextDiTConfig(dim=128, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24, ffn_dim=96)
KEY = "layers.0.attention.wk"


def layer(weight, **extras):
    return {f"{KEY}.weight": weight} | {f"{KEY}.{name}": value for name, value in extras.items()}


@pytest.mark.parametrize("name", ["weight_scale", "scale_weight"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (6,), (6, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8])
@pytest.mark.parametrize("marked", [False, True])
def test_scales_of_any_shape(name, shape, dtype, marked):
    weight = (8 * torch.randn(6, 6)).to(dtype)  # square: a scale a row must not be taken for one a column
    scale = torch.rand(shape) + 0.1
    extras = {name: scale, "input_scale": torch.ones(())}
    if marked:
        form = {torch.int8: "int8_tensorwise"}.get(dtype, str(dtype).removeprefix("torch."))
        extras["comfy_quant"] = marker({"format": form})
    found = dequantise(layer(weight, **extras), torch.float32)
    rows = scale.reshape(-1, 1).expand(6, 1)
    assert list(found) == [f"{KEY}.weight"] and torch.equal(found[f"{KEY}.weight"], weight.float() * rows)


@pytest.mark.parametrize("form", [*FORMATS, "fp3"])
def test_a_form_that_is_not_read_is_named(form):
    stored = torch.zeros(FORMATS[form].shape(32, 64) if form in FORMATS else (32, 64))
    stored = stored.to(FORMATS[form].dtype if form in FORMATS else torch.uint8)
    weights = layer(stored, weight_scale=torch.ones(()), comfy_quant=marker({"format": form}))
    if form in ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise"):
        assert dequantise(weights, torch.float32)[f"{KEY}.weight"].shape == (32, 64)
        return
    with pytest.raises(ValueError, match=f"{KEY}.weight is quantised as {form}, .* not quantised"):
        dequantise(weights, torch.float32)


@pytest.mark.parametrize(
    "extras,message",
    [
        ({"weight_scale": torch.ones(2, 3)}, rf"{KEY}.weight_scale has shape \(2, 3\), expected one number"),
        (
            {"weight_scale": torch.ones(()), "pre_quant_scale": torch.ones(6)},
            f"{KEY} has pre_quant_scale, weight_scale",
        ),
        ({"weight_scale_2": torch.ones(())}, f"{KEY} has weight_scale_2, but no comfy_quant"),
        ({"comfy_quant": torch.tensor([1, 2], dtype=torch.uint8)}, f"{KEY}.comfy_quant cannot be read"),
        ({"comfy_quant": marker({"form": "nvfp4"})}, f"{KEY}.comfy_quant is .* expected an object with a format"),
        ({"comfy_quant": marker({"format": "int8_tensorwise"})}, "expected torch.int8"),
        (
            {"comfy_quant": marker({"format": "float8_e4m3fn"}), "pre_quant_scale": torch.ones(6)},
            "is quantised as float8_e4m3fn with pre_quant_scale",
        ),
    ],
)
def test_extras_that_are_not_understood_are_named(extras, message):
    with pytest.raises(ValueError, match=message):
        dequantise(layer(torch.zeros(6, 6, dtype=torch.float8_e4m3fn), **extras), torch.float32)


def test_a_scale_without_its_weight_is_unexpected(tmp_path):
    weights = to_reference_keys(NextDiT(CONFIG).state_dict())
    save_file(weights | {"layers.0.attention.wz.weight_scale": torch.ones(())}, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="m.safetensors: .*layers.0.attention.wz.weight_scale is unexpected"):
        load_model(tmp_path / "m.safetensors")


def test_a_form_that_the_metadata_tells(tmp_path):
    weights = to_reference_keys(NextDiT(CONFIG).state_dict())
    weights[f"{KEY}.weight"] = torch.ones(64, 128, dtype=torch.int8)
    weights[f"{KEY}.weight_scale"] = torch.full((64,), 0.5)
    for text, message in ((json.dumps({"layers": {KEY: {"format": "fp3"}}}), f"{KEY}.weight is quantised as fp3"),
                          ("{", "_quantization_metadata cannot be read")):  # fmt: skip
        save_file(weights, tmp_path / "m.safetensors", {"_quantization_metadata": text})
        with pytest.raises(ValueError, match=message):
            load_model(tmp_path / "m.safetensors")
    metadata = {"_quantization_metadata": json.dumps({"layers": {KEY: {"format": "int8_tensorwise"}}})}
    save_file(weights, tmp_path / "m.safetensors", metadata)
    assert torch.equal(
        load_model(tmp_path / "m.safetensors").get_parameter(f"{KEY}.weight"), torch.full((64, 128), 0.5)
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("config", [*PRESETS.values(), CONFIG], ids=[*PRESETS, "small"])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_the_architecture_is_told_by_what_is_not_packed(form, config, qk_norm):
    """Every matrix is quantised at once, which packs or fills up whatever its shape tells."""
    config = NextDiTConfig(**vars(config) | {"qk_norm": qk_norm, "n_layers": 1})
    shapes = {key: tuple(x.shape) for key, x in NextDiT(config, device="meta").state_dict().items()}
    for key in [key for key, shape in shapes.items() if len(shape) == 2]:
        shapes[key] = FORMATS[form].shape(*shapes[key])
        extras = SCALES.get(form, {"weight_scale": (shapes[key][0], 1)}) | {"comfy_quant": (19,)}
        shapes |= {key.removesuffix("weight") + name: shape for name, shape in extras.items()}
    assert infer_config(shapes) == config


def test_a_plain_matrix_is_asked_before_a_packed_one():
    config = NextDiTConfig(dim=64, n_layers=2, n_heads=8, n_kv_heads=1, text_dim=24, ffn_dim=100, qk_norm=False)
    shapes = {key: tuple(x.shape) for key, x in NextDiT(config, device="meta").state_dict().items()}
    matrices = [key for key, shape in shapes.items() if len(shape) == 2 and key.startswith("layers.0.")]
    for key in matrices:
        shapes[key] = FORMATS["nvfp4"].shape(*shapes[key])
        shapes[key.removesuffix("weight") + "weight_scale_2"] = ()
    assert infer_config(shapes) == config  # layer 1 is plain
    only = {key: shape for key, shape in shapes.items() if not key.startswith("layers.1.")}
    with pytest.raises(ValueError, match="quantised keys have 16 rows, which 2 numbers of heads of 8 could have"):
        infer_config(only)
