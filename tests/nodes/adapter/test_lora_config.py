"""What PEFT and diffusers say beside a LoRA: each module's own scale, and a sentence for configs that say nothing."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nodes.adapter.lora.convert import UnreadFormat, WrongLora, convert
from lumina_next.nodes.adapter.lora.files import read_lora
from lumina_next.nodes.adapter.lora.parts import change, kind_of
from lumina_next.tests.nodes.adapter.test_lora_convert import SHAPES

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


OTHERS = ["OFT", "BOFT", "IA3", "VERA", "ADALORA", "HRA", "FOURIERFT", "LN_TUNING", "SOMETHING_NEW"]


@pytest.mark.parametrize("kind", OTHERS)
def test_other_adapters_of_peft_are_refused_by_name(tmp_path, kind):
    with pytest.raises(
        UnreadFormat, match=f"adapter_config.json says that it is PEFT's {kind}; read are LORA, LOHA, LOKR"
    ):
        read_lora(write(tmp_path, {"peft_type": kind, "r": 4}, {W2: lora(W2, 4)}))


@pytest.mark.parametrize(
    "option, says",
    [
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights = 'pissa_niter_16'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights = 'olora'"),
        ({"alora_invocation_tokens": [1]}, "activated LoRA"),
        ({"use_qalora": True}, "QALoRA"),
        ({"layer_replication": [[0, 2]]}, "LoRA of replicated layers"),
        ({"kasa_config": {"beta": 1}}, "KaSA"),
    ],
)
def test_variants_that_change_what_the_tensors_mean_are_refused_by_name(tmp_path, option, says):
    with pytest.raises(UnreadFormat, match=f"adapter_config.json says .*{says}"):
        read_lora(write(tmp_path, {"peft_type": "LORA", "r": 4, **option}, {W2: lora(W2, 4)}))
    harmless = {"init_lora_weights": "gaussian", "alora_invocation_tokens": None, "use_qalora": False, "bias": "none"}
    assert read_lora(write(tmp_path, {"peft_type": "LORA", "r": 4, **harmless}, {W2: lora(W2, 4)}))[1].rank == 4


GOOD = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 12}, indent=2)
UNREADABLE = {
    "no JSON": (b"<html>404</html>", "is not valid JSON"),
    "empty": (b"", "is not valid JSON"),
    "cut off": (GOOD.encode()[:20], "is not valid JSON"),
    "too deep": (b"[" * 200_000, "is not valid JSON"),
    "a list": (b"[]", "holds a JSON list"),
    "a number": (b"4", "holds a JSON int"),
    "null": (b"null", "holds a JSON NoneType"),
    "UTF-16": (GOOD.encode("utf-16"), "is in UTF-16"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "is in UTF-16"),
    "UTF-16, the other way": (GOOD.encode("utf-16-be"), "is in UTF-16"),
    "Latin-1": (b'{"r": 4, "base_model_name_or_path": "caf\xe9"}', "is in another encoding"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_configs_are_named(tmp_path, case):
    content, says = UNREADABLE[case]
    with pytest.raises(ValueError, match=f"adapter_config.json {says}.*expected PEFT's config of the adapter"):
        read_lora(write(tmp_path, content, {W2: lora(W2, 4)}))
    if case != "too deep":
        file = tmp_path / "diffusers.safetensors"
        (tmp_path / "adapter_config.json").unlink()
        text = content.decode("latin-1")
        save_file({f"transformer.{W2}.lora_A.weight": torch.ones(4, 48)}, file, {"lora_adapter_metadata": text})
        if not case.startswith(("UTF-16", "Latin")):
            with pytest.raises(ValueError, match=rf"lora_adapter_metadata\) {says}.*expected diffusers' config"):
                read_lora(file)


@pytest.mark.parametrize(
    "content", [GOOD.encode("utf-8-sig"), GOOD.replace("\n", "\r\n").encode(), b"\n" + GOOD.encode()]
)
def test_marks_and_line_ends_of_other_editors_are_read(tmp_path, content):
    assert read_lora(write(tmp_path, content, {W2: lora(W2, 4)}))[1].alpha == 12


def test_a_config_that_is_a_broken_link_is_named(tmp_path):
    file = write(tmp_path, None, {W2: lora(W2, 4)})
    (tmp_path / "adapter_config.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(FileNotFoundError, match="adapter_config.json does not exist .it is a link to .*gone.json"):
        read_lora(file)


def test_whose_config_it_is(tmp_path):
    """That of adapter_model, of the only weights in its folder, or of either through links; never another file's."""
    (tmp_path / "download").mkdir()
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 12}
    original = write(tmp_path / "download", config, {W2: lora(W2, 4)})
    hop, link = tmp_path / "hop.safetensors", tmp_path / "style.safetensors"
    hop.symlink_to("download/adapter_model.safetensors")
    link.symlink_to(hop)
    renamed = tmp_path / "mine" / "fox.safetensors"
    renamed.parent.mkdir()
    renamed.write_bytes(original.read_bytes())
    (renamed.parent / "adapter_config.json").write_text(json.dumps(config))
    assert [read_lora(file)[1].alpha for file in (original, hop, link, renamed)] == [12, 12, 12, 12]
    (renamed.parent / "other.safetensors").write_bytes(original.read_bytes())
    assert read_lora(renamed)[1] is None


def test_a_config_that_says_nothing_of_scales(tmp_path):
    for config in ({}, {"target_modules": ["wq"]}):
        assert read_lora(write(tmp_path, config, {W2: lora(W2, 4)}))[1] is None
    file = tmp_path / "text.safetensors"
    (tmp_path / "adapter_config.json").unlink()
    save_file(
        lora(W2, 4), file, {"lora_adapter_metadata": json.dumps({"text_encoder.r": 4, "text_encoder.lora_alpha": 9})}
    )
    assert read_lora(file)[1] is None
