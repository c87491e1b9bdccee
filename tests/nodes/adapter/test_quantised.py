"""Files in every quantised format of this ComfyUI, through its loader and ours, and what must be refused."""

import json
from dataclasses import replace

import comfy.quant_ops
import comfy.sd
import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import NextDiT, load_model
from lumina_next.nextdit.quantised import FORMATS, dequantise
from lumina_next.nodes.adapter.models import loading
from lumina_next.tests.support.quantised_files import ODD, WIDE, network, quantise, reference, scaled_fp8

FORMS = list(comfy.quant_ops.QUANT_ALGOS)
LOADERS = {"core's": lambda file: comfy.sd.load_diffusion_model(str(file)), "ours": loading.load}
PARTS = {
    "layers": lambda module: module.startswith("layers."),
    "embedders": lambda module: "embedder" in module,
    "all": lambda module: True,
}


@pytest.fixture(params=LOADERS)
def load(request):
    return LOADERS[request.param]


def write(folder, weights, metadata=None):
    save_file({key: x.contiguous().clone() for key, x in weights.items()}, folder / "m.safetensors", metadata)
    return folder / "m.safetensors"


def velocity(patcher, config):
    net, x, t, text = patcher.model.diffusion_model, *inputs(config)
    dtype = patcher.model.get_dtype_inference()
    with torch.no_grad():
        return -net(x.to(dtype), 1 - t, text.to(dtype)).float()


def inputs(config):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, config.in_channels, 16, 16, generator=generator)
    return x, torch.tensor([0.3, 0.8]), torch.randn(2, 7, config.text_dim, generator=generator)


def exact(config, read):
    """The velocity of the plain network with the weights that ComfyUI's layouts read out of the quantised ones."""
    net = network(config)
    net.load_state_dict({key: read.get(key, x) for key, x in net.state_dict().items()})
    with torch.no_grad():
        return net.float()(*inputs(config))


def distance(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


def assert_reads(patcher, config, read, tolerance=0.03):
    """What the files of `config` hold is found again, in a feed-forward that the format may fill up with zeros."""
    net = patcher.model.diffusion_model
    assert 0 <= net.config.ffn_dim - config.ffn_dim < 32
    assert net.config == replace(config, ffn_dim=net.config.ffn_dim)
    for key, weight in read.items():
        found = net.get_parameter(key)
        found = found.dequantize() if isinstance(found.data, comfy.quant_ops.QuantizedTensor) else found
        found = found.float()[tuple(map(slice, weight.shape))]
        assert distance(found, weight.float()) < 0.006, key  # ComfyUI reads with a scale in bfloat16
    assert distance(velocity(patcher, config), exact(config, read)) < tolerance


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("form", FORMS)
def test_every_format_loads_and_computes(tmp_path, load, form, part):
    weights, read = quantise(reference(WIDE), form, PARTS[part])
    assert len(read) > 3
    # the int formats round what enters a layer, too: to 8 bits, or 4
    tolerance = {"convrot_w4a4": 0.6, "asym_w4a8_int8": 0.06, "int8_tensorwise": 0.06}.get(form, 0.03)
    assert_reads(load(write(tmp_path, weights)), WIDE, read, tolerance)


@pytest.mark.parametrize("form", ["nvfp4", "mxfp8", "float8_e4m3fn", "float8_e5m2", "int8_tensorwise"])
@pytest.mark.parametrize("part", PARTS)
def test_matrices_that_are_filled_up(tmp_path, load, form, part):
    weights, read = quantise(reference(ODD), form, PARTS[part])
    assert_reads(load(write(tmp_path, weights)), ODD, read, 0.06)


def test_formats_in_one_file(tmp_path, load):
    """Half of the layers plain, an nvfp4 one, an int8 one, and a quantised caption embedder."""
    first, some = quantise(reference(WIDE), "nvfp4", lambda module: module.startswith("layers.0.feed"))
    second, more = quantise(first, "int8_tensorwise", lambda module: module.endswith((".wk_y", ".wv_y")))
    third, rest = quantise(second, "mxfp8", lambda module: module == "cap_embedder.1")
    assert_reads(load(write(tmp_path, third)), WIDE, some | more | rest)


def test_our_table_is_of_the_formats_that_comfyui_has():
    assert set(FORMATS) == set(FORMS)
    for form, algo in comfy.quant_ops.QUANT_ALGOS.items():
        stored, _ = quantise({"m.weight": torch.randn(768, 256)}, form)
        assert FORMATS[form].dtype is algo["storage_t"]
        assert tuple(stored["m.weight"].shape) == FORMATS[form].shape(768, 256)
        assert {key[2:] for key in stored} <= {"weight", "comfy_quant", *FORMATS[form].extras}


@pytest.mark.parametrize("form", FORMS)
def test_a_saved_model_loads_as_it_was(tmp_path, load, form):
    weights, read = quantise(reference(WIDE), form, PARTS["layers"])
    model = load(write(tmp_path, weights))
    comfy.sd.save_checkpoint(str(tmp_path / "saved.safetensors"), model)
    again = load(tmp_path / "saved.safetensors")
    assert torch.equal(velocity(again, WIDE), velocity(model, WIDE))


@pytest.mark.parametrize(
    "prefix,name,flag",
    [
        ("", "scale_weight", True),
        ("", "weight_scale", False),
        ("model.diffusion_model.", "scale_weight", True),
        ("transformer.", "scale_weight", True),
        ("module.", "weight_scale", False),
    ],
)
@pytest.mark.parametrize("rows", [False, True], ids=["one scale", "a scale a row"])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_older_spellings_of_scaled_fp8(tmp_path, load, prefix, name, rows, flag, dtype):
    weights = scaled_fp8(reference(ODD), dtype, rows, name)
    if flag:
        weights |= {"scaled_fp8": torch.zeros(0, dtype=dtype), "layers.0.attention.wq.scale_input": torch.ones(())}
    read = {key: x for key, x in dequantise(weights, torch.float32).items() if f"{key[:-6]}{name}" in weights}
    assert len(read) == 20
    assert_reads(load(write(tmp_path, {prefix + key: x for key, x in weights.items()})), ODD, read)


@pytest.mark.parametrize("shape", [(), (1,), (-1,), (-1, 1)], ids=str)
def test_int8_and_a_scale_of_any_shape_without_a_marker(tmp_path, load, shape):
    weights = reference(ODD)
    for key in [key for key, x in weights.items() if x.ndim == 2 and key.startswith("layers.")]:
        peak = weights[key].float().abs().amax(1 if -1 in shape else (0, 1), keepdim=True)
        weights |= {key: (weights[key] / peak * 127).round().to(torch.int8), f"{key}_scale": peak.view(shape) / 127}
    read = {key: x for key, x in dequantise(weights, torch.float32).items() if f"{key}_scale" in weights}
    assert distance(read["layers.0.attention.wq.weight"], reference(ODD)["layers.0.attention.wq.weight"]) < 0.02
    assert_reads(load(write(tmp_path, weights)), ODD, read, 0.06)


@pytest.mark.parametrize(
    "outside,inside",
    [("", ""), ("transformer.", ""), ("transformer.", "transformer."), ("model.diffusion_model.", "")]
    + [("model.diffusion_model.", "model.diffusion_model.")],
)
@pytest.mark.parametrize("form", ["nvfp4", "float8_e4m3fn"])
def test_formats_that_only_the_metadata_tells(tmp_path, load, form, outside, inside):
    weights, read = quantise(reference(WIDE), form, PARTS["layers"])
    layers = {inside + key.removesuffix(".weight"): {"format": form} for key in read}
    weights = {outside + key: x for key, x in weights.items() if not key.endswith("comfy_quant")}
    metadata = {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})}
    file = write(tmp_path, weights, metadata)
    assert_reads(load(file), WIDE, read)
    if form == "float8_e4m3fn":
        key = "layers.0.attention.wq.weight"
        assert distance(load_model(file).get_parameter(key).float(), read[key].float()) < 0.006


def test_shards_with_metadata(tmp_path):
    weights, read = quantise(reference(WIDE), "nvfp4", PARTS["all"])
    where = {key: f"part-{n % 3}.safetensors" for n, key in enumerate(sorted(weights))}
    layers = {key.removesuffix(".weight"): {"format": "nvfp4"} for key in read}
    metadata = {"_quantization_metadata": json.dumps({"layers": layers})}
    for n, part in enumerate(sorted(set(where.values()))):
        kept = {key: x for key, x in weights.items() if where[key] == part and not key.endswith("comfy_quant")}
        save_file(kept, tmp_path / part, metadata if n == 1 else None)
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert_reads(loading.load(tmp_path), WIDE, read)


def test_fp8_in_a_container_of_bytes(tmp_path, load):
    weights, read = quantise(reference(WIDE), "float8_e4m3fn", PARTS["layers"])
    weights = {key: x.view(torch.uint8) if key in read else x for key, x in weights.items()}
    assert_reads(load(write(tmp_path, weights)), WIDE, read)


def test_a_layer_that_stays_plain_beside_its_scale(tmp_path, load):
    weights = scaled_fp8(reference(ODD), name="scale_weight") | {"scaled_fp8": torch.zeros(2)}
    weights["layers.0.attention.wq.weight"] = reference(ODD)["layers.0.attention.wq.weight"]
    weights["layers.0.attention.wq.scale_weight"] = torch.tensor(1.5)
    assert_reads(load(write(tmp_path, weights)), ODD, {
        "layers.0.attention.wq.weight": 1.5 * reference(ODD)["layers.0.attention.wq.weight"],
        "layers.1.attention.wq.weight": dequantise(weights, torch.float32)["layers.1.attention.wq.weight"],
        **{key: x for key, x in dequantise(weights, torch.float32).items() if x.ndim == 2},
    })  # fmt: skip


def swap(key, value):
    return lambda weights: weights.update({key: value})


WQ = "layers.0.attention.wq"


@pytest.mark.parametrize(
    "form,change,message",
    [
        ("nvfp4", swap(f"{WQ}.comfy_quant", torch.tensor(list(b'{"format": "fp3"}'), dtype=torch.uint8)),
         f"{WQ}.weight is quantised as 'fp3', which this ComfyUI does not know .*nvfp4"),
        ("nvfp4", swap(f"{WQ}.comfy_quant", torch.tensor(list(b"nvfp4"), dtype=torch.uint8)), "cannot be read"),
        ("nvfp4", swap(f"{WQ}.comfy_quant", torch.tensor(list(b"[]"), dtype=torch.uint8)), "expected an object"),
        ("nvfp4", lambda weights: weights.pop(f"{WQ}.comfy_quant"), "no comfy_quant that says how"),
        ("nvfp4", lambda weights: weights.pop(f"{WQ}.weight_scale_2"), f"(?i)missing NVFP4 scales.*{WQ}"),
        ("nvfp4", swap(f"{WQ}.weight", torch.zeros(256, 256, dtype=torch.uint8)),
         rf"{WQ}.weight is torch.uint8 of shape \(256, 256\), expected torch.uint8 of shape \(256, 128\)"),
        ("convrot_w4a4", swap(f"{WQ}.weight", torch.zeros(256, 256, dtype=torch.int8)), r"expected .* \(256, 128\)"),
        ("int8_tensorwise", swap(f"{WQ}.pre_quant_scale", torch.ones(256)), f"no layer .* reads {WQ}.pre_quant_scale"),
        ("asym_w4a8_int8", swap(f"{WQ}.weight_correction", torch.ones(16, 256)), "reads .*weight_correction"),
        ("float8_e4m3fn", swap(f"{WQ}.weight_scale", torch.ones(2, 2)), "weight_scale has shape .2, 2., expected"),
        ("float8_e4m3fn", swap(f"{WQ}.weight", torch.zeros(256, 256, dtype=torch.int8)), "expected torch.float8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(tmp_path, load, form, change, message):
    weights, _ = quantise(reference(WIDE), form, PARTS["layers"])
    change(weights)
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, weights))


@pytest.mark.parametrize("form", FORMS)
def test_plain_pytorch_reads_what_comfyui_reads_or_refuses_it_by_name(tmp_path, form):
    weights, read = quantise(reference(WIDE), form, PARTS["all"])
    file = write(tmp_path, weights)
    if form in ("nvfp4", "mxfp8", "convrot_w4a4", "asym_w4a8_int8"):
        with pytest.raises(ValueError, match=rf"m.safetensors: .*\.weight is quantised as {form}\b.*use the file in"):
            load_model(file)
        return
    found = load_model(file, dtype=torch.float32)
    assert found.config == WIDE
    layout = comfy.quant_ops.get_layout_class(comfy.quant_ops.QUANT_ALGOS[form]["comfy_tensor_layout"])
    for key in read:
        params = layout.Params(scale=weights[f"{key}_scale"], orig_dtype=torch.float32, orig_shape=read[key].shape)
        assert torch.equal(found.get_parameter(key), layout.dequantize(weights[key], params)), key


@pytest.mark.parametrize("rows", [False, True])
def test_plain_pytorch_turns_int8_back(tmp_path, rows):
    net = network(WIDE)
    key, options = "layers.0.feed_forward.w1", {"convrot": True, "convrot_groupsize": 64}
    weight = net.get_parameter(f"{key}.weight").detach().float()
    tensor = comfy.quant_ops.QuantizedTensor.from_float(weight, "TensorWiseINT8Layout", per_channel=True, **options)
    weights = reference(WIDE) | tensor.state_dict(f"{key}.weight")
    layer = {"format": "int8_tensorwise"} | ({"params": options} if rows else options)
    weights[f"{key}.comfy_quant"] = torch.tensor(list(json.dumps(layer).encode()), dtype=torch.uint8)
    found = load_model(write(tmp_path, weights), dtype=torch.float32)
    assert torch.allclose(found.get_parameter(f"{key}.weight"), tensor.dequantize(), atol=1e-6)
    assert isinstance(found, NextDiT) and distance(tensor.dequantize(), weight) < 0.02
