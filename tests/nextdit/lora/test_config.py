"""What PEFT and diffusers say beside a LoRA: each module's own scale, and a sentence for configs that say nothing."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit.lora.convert import convert
from lumina_next.nextdit.lora.files import read_lora
from lumina_next.nextdit.lora.parts import WrongLora, change, kind_of
from lumina_next.tests.nextdit.lora.test_convert import SHAPES

WQ, W2 = "layers.1.attention.wq", "layers.0.feed_forward.w2"


STOCK = "diffusion_model."


def lora(module: str, rank: int, out: tuple[str, str] = ("lora_B.weight", "lora_A.weight")) -> dict[str, torch.Tensor]:
    rows, columns = SHAPES[f"{module}.weight"]
    generator = torch.Generator().manual_seed(rank + rows)
    return {
        out[0]: torch.randn(rows, rank, generator=generator),
        out[1]: torch.randn(rank, columns, generator=generator),
    }


def loha(module: str, rank: int) -> dict[str, torch.Tensor]:
    first = lora(module, rank, ("hada_w1_a", "hada_w1_b"))
    return first | {f"hada_w2_{side}": 0.5 * first[f"hada_w1_{side}"] for side in "ab"}


def write(folder, config: dict | str | bytes | None, modules: dict[str, dict], name="adapter_model", prefix=""):
    tensors = {
        f"{prefix or 'base_model.model.'}{m}.{part}": x for m, parts in modules.items() for part, x in parts.items()
    }
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, folder / f"{name}.safetensors")
    if config is not None:
        text = json.dumps(config) if isinstance(config, dict) else config
        content = text if isinstance(text, bytes) else text.encode()
        (folder / "adapter_config.json").write_bytes(content)
    return folder / f"{name}.safetensors"


def added(file, base=None) -> dict[str, torch.Tensor]:
    """Return module → what ComfyUI's reading of the converted file adds to its weight, but for DoRA."""
    converted = convert(*read_lora(file)[:1], SHAPES, read_lora(file)[1], base)
    modules = {key.removeprefix(STOCK).rpartition(".lora_")[0] for key in converted.weights if ".lora_" in key}
    modules |= {key.removeprefix(STOCK).rpartition(".hada_")[0] for key in converted.weights if ".hada_" in key}
    found = {}
    for module in modules:
        start = f"{STOCK}{module}."
        parts = {key.removeprefix(start): x for key, x in converted.weights.items() if key.startswith(start)}
        found[module] = change(kind_of(parts), parts, None)
    return found


PATTERNS = [
    ({"r": 4, "lora_alpha": 12}, 4, 12 / 4),
    ({"r": 4}, 4, 8 / 4),  # PEFT's default alpha is 8
    ({"lora_alpha": 12}, 4, 12 / 4),
    ({"r": 8, "lora_alpha": 12, "rank_pattern": {"w2": 4}}, 4, 12 / 4),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": {"w2": 6}}, 4, 6 / 4),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": {"feed_forward.w2": 6.5}}, 4, 6.5 / 4),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": {r"layers\.\d+\.feed_forward\.w[12]": 6}}, 4, 6 / 4),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": {"^layers.0.feed_forward.w2": 6}}, 4, 6 / 4),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": {"d.w2": 6, "2": 6, "layers.0": 6, "layers.1.*": 6}}, 4, 12 / 4),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": {"w1": 5, "w2": 6, "feed_forward.w2": 7}}, 4, 6 / 4),  # the first
    ({"r": 4, "lora_alpha": 12, "use_rslora": True}, 4, 12 / 2),
    ({"r": 9, "lora_alpha": 12, "use_rslora": True, "rank_pattern": {"w2": 4}, "alpha_pattern": {"w2": 3}}, 4, 3 / 2),
    ({"r": 4, "lora_alpha": 0}, 4, 0.0),
    ({"r": 4, "lora_alpha": 12, "alpha_pattern": None, "rank_pattern": {}, "use_rslora": None}, 4, 12 / 4),
]


@pytest.mark.parametrize("config, rank, scale", PATTERNS)
@pytest.mark.parametrize("where", ["adapter_config.json", "metadata"])
def test_the_scale_of_a_lora_is_each_modules_own(tmp_path, config, rank, scale, where):
    parts = lora(W2, rank)
    if where == "metadata":
        file = tmp_path / "pytorch_lora_weights.safetensors"
        said = {f"transformer.{key}": value for key, value in config.items()} | {"text_encoder.lora_alpha": 99}
        tensors = {f"transformer.{W2}.{part}": tensor for part, tensor in parts.items()}
        save_file(tensors, file, {"lora_adapter_metadata": json.dumps(said)})
    else:
        file = write(tmp_path, {"peft_type": "LORA", **config}, {W2: parts})
    expected = scale * parts["lora_B.weight"] @ parts["lora_A.weight"]
    torch.testing.assert_close(added(file)[W2], expected, rtol=1e-5, atol=1e-5)


def test_two_modules_of_one_file_have_two_scales_and_own_alphas_come_first(tmp_path):
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "rank_pattern": {"wq": 2}, "alpha_pattern": {"wq": 5}}
    modules = {WQ: lora(WQ, 2), W2: lora(W2, 4) | {"alpha": torch.tensor(1.0)}}
    found = added(write(tmp_path, config, modules))
    for module, scale in ((WQ, 5 / 2), (W2, 1 / 4)):
        up, down = modules[module].values() if module == WQ else list(modules[module].values())[:2]
        torch.testing.assert_close(found[module], scale * up @ down, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("naming", ["layers.1.attn1.to_q", "attn1.to_q", r"layers\.\d\.attn1\.to_q"])
def test_patterns_are_of_the_names_that_peft_saw(tmp_path, naming):
    """diffusers' names in a model of diffusers, each copy of the query with its own scale."""
    parts = lora(WQ, 4)
    file = write(
        tmp_path,
        {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "alpha_pattern": {naming: 20}},
        {"layers.1.attn1.to_q": parts, "layers.1.attn2.to_q": parts},
    )
    torch.testing.assert_close(added(file)[WQ], (5 + 1) / 2 * parts["lora_B.weight"] @ parts["lora_A.weight"])


@pytest.mark.parametrize(
    "config, scale", [({"alpha": 16}, 4), ({}, 2), ({"alpha": 16, "alpha_pattern": {"w2": 2}}, 0.5)]
)
def test_lohas_alpha_is_called_alpha(tmp_path, config, scale):
    parts = loha(W2, 4)
    file = write(tmp_path, {"peft_type": "LOHA", "r": 4, **config}, {W2: parts})
    once = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    torch.testing.assert_close(added(file)[W2], scale * once, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("whole", [("w1", "w2"), ("w1",), ("w2",), ()])
def test_lokr_is_scaled_also_where_its_factors_are_whole(tmp_path, whole):
    shapes = {"w1": (4, 6), "w2": (8, 8)}
    parts = {}
    for factor, (rows, columns) in shapes.items():
        generator = torch.Generator().manual_seed(rows)
        if factor in whole:
            parts[f"lokr_{factor}"] = torch.randn(rows, columns, generator=generator)
        else:
            parts[f"lokr_{factor}_a"] = torch.randn(rows, 3, generator=generator)
            parts[f"lokr_{factor}_b"] = torch.randn(3, columns, generator=generator)
    file = write(tmp_path, {"peft_type": "LOKR", "r": 3, "alpha": 12, "decompose_both": True}, {W2: parts})
    factors = [parts.get(f"lokr_{f}", parts.get(f"lokr_{f}_a", 0)) for f in shapes]
    factors = [x if f in whole else x @ parts[f"lokr_{f}_b"] for x, f in zip(factors, shapes, strict=True)]
    converted = convert(read_lora(file)[0], SHAPES, read_lora(file)[1])
    found = {key.removeprefix(f"{STOCK}{W2}."): tensor for key, tensor in converted.weights.items()}
    assert ("alpha" in found) == (len(whole) < 2)  # ComfyUI reads none for whole factors
    torch.testing.assert_close(change("LoKr", found, None), 4 * torch.kron(*factors), rtol=1e-5, atol=1e-4)


def test_pefts_dora_has_the_magnitudes_of_the_changed_weight(tmp_path):
    """m · V / ‖V‖, V = W + ΔW (arXiv 2402.09353, equation 5), where ComfyUI divides by ‖W‖."""
    parts, weight = lora(W2, 4), torch.randn(SHAPES[f"{W2}.weight"], generator=torch.Generator().manual_seed(1))
    magnitude = torch.linspace(0.5, 2, len(weight))
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 2, "use_dora": True}
    file = write(tmp_path, config, {W2: parts | {"lora_magnitude_vector": magnitude}})
    weights, config = read_lora(file)
    converted = convert(weights, SHAPES, config, base=lambda module: {W2: weight}[module]).weights
    changed = weight + 0.5 * parts["lora_B.weight"] @ parts["lora_A.weight"]
    core = changed * converted[f"{STOCK}{W2}.dora_scale"] / weight.norm(dim=1, keepdim=True)
    expected = magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True)
    torch.testing.assert_close(core, expected)


def test_bias_of_a_lora_is_scaled_with_it(tmp_path):
    parts = lora("x_embedder", 4) | {"lora_B.bias": torch.ones(32)}
    file = write(tmp_path, {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "lora_bias": True}, {"x_embedder": parts})
    weights, config = read_lora(file)
    torch.testing.assert_close(
        convert(weights, SHAPES, config).weights[f"{STOCK}x_embedder.diff_b"], 3 * torch.ones(32)
    )


CONTRADICTIONS = {
    "rank": ({"r": 8, "lora_alpha": 8}, lora(W2, 4), "has rank 4, the config says 8"),
    "pattern": ({"r": 4, "rank_pattern": {"w2": 2}}, lora(W2, 4), "has rank 4, the config says 2"),
    "kind": ({"peft_type": "LOHA", "r": 4}, lora(W2, 4), "is a LoRA, the config says LoHa"),
    "dora": ({"r": 4, "use_dora": True}, lora(W2, 4), "no lora_magnitude_vector, the config says use_dora"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_tensors_that_are_not_what_the_config_says(tmp_path, case):
    config, parts, says = CONTRADICTIONS[case]
    weights, config = read_lora(write(tmp_path, {"peft_type": "LORA", **config}, {W2: parts}))
    with pytest.raises(WrongLora, match=f"{W2} is incomplete or contradictory: {W2} .*{says}.*adapter_config.json"):
        convert(weights, SHAPES, config)


WRONG = [
    ({"r": "x"}, "r must be a positive whole number, got 'x'"),
    ({"r": 0}, "r must be a positive whole number, got 0"),
    ({"r": -4}, "r must be a positive whole number, got -4"),
    ({"r": 4.5}, "r must be a positive whole number, got 4.5"),
    ({"r": True}, "r must be a positive whole number, got True"),
    ({"lora_alpha": "16"}, "lora_alpha must be a number, got '16'"),
    ({"lora_alpha": [16]}, "lora_alpha must be a number"),
    ({"lora_alpha": math.nan}, "lora_alpha must be a number, got nan"),
    ({"lora_alpha": math.inf}, "lora_alpha must be a number, got inf"),
    ({"lora_alpha": 10**400}, "lora_alpha must be a number"),
    ({"peft_type": "LOHA", "alpha": {}}, "alpha must be a number, got {}"),
    ({"peft_type": 3}, "peft_type must be one of LORA, LOHA, LOKR, got 3"),
    ({"rank_pattern": ["w2"], "r": 4}, "rank_pattern must be an object from module names to numbers"),
    ({"rank_pattern": {"w2": 0}}, "rank_pattern 'w2' must be a positive whole number, got 0"),
    ({"alpha_pattern": {"w2": "x"}}, "alpha_pattern 'w2' must be a number, got 'x'"),
    ({"alpha_pattern": {"w(2": 4}}, r"alpha_pattern must be an object whose keys are regular expressions.*w\(2"),
    ({"r": 4, "use_rslora": "yes"}, "use_rslora must be true or false, got 'yes'"),
    ({"r": 4, "use_dora": 1}, "use_dora must be true or false, got 1"),
]


@pytest.mark.parametrize("config, says", WRONG)
def test_values_that_peft_would_not_take(tmp_path, config, says):
    with pytest.raises(ValueError, match=rf"adapter_config.json: {says}"):
        read_lora(write(tmp_path, {"peft_type": "LORA", **config}, {W2: lora(W2, 4)}))
    said = {f"transformer.{key}": value for key, value in ({"peft_type": "LORA"} | config).items()}
    file = tmp_path / "diffusers.safetensors"
    (tmp_path / "adapter_config.json").unlink()
    save_file({f"transformer.{W2}.lora_A.weight": torch.ones(4, 48)}, file, {"lora_adapter_metadata": json.dumps(said)})
    with pytest.raises(ValueError, match=rf"diffusers.safetensors \(metadata lora_adapter_metadata\): {says}"):
        read_lora(file)
