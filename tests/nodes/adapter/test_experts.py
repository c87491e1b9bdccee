"""Weights outside Linear layers on ComfyUI's side: experts, GPT-2's Conv1D; and text encoders saved by CLIPSave."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import comfy_extras.nodes_model_merging as merging
import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from lumina_next.nextdit.encoders.llm.cast_at_use import CastAtUse
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.nodes.adapter.text import folders
from lumina_next.nodes.adapter.text.clip import WEIGHT_DTYPES, load_clip
from lumina_next.nodes.loaders.load_text_encoder import LoadTextEncoder
from lumina_next.tests.support import old_llms
from lumina_next.tests.support.untrained_text_encoder import write

PROMPT = "a (red:1.3) fox 狐"
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 260,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
}
KINDS = {
    "mixtral": {"num_local_experts": 4},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8},
    "gpt_oss": {"num_local_experts": 4, "head_dim": 8},
    "gpt2": {},
}
spec = importlib.util.spec_from_file_location("comfyui_nodes", Path(folder_paths.__file__).with_name("nodes.py"))
nodes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nodes)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    return write(tmp_path_factory.mktemp("boxed"))


def save(kind, folder, boxed):
    torch.manual_seed(0)
    try:
        config = AutoConfig.for_model(kind, **{**SIZES, **KINDS[kind]})
    except ValueError:
        pytest.skip(f"this transformers has no {kind}")
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / name, folder / name)
    return folder


def encode(clip, prompt=PROMPT):
    return nodes.CLIPTextEncode().encode(clip, prompt)[0][0][0]


def pure(folder, prompt=PROMPT):
    return load_text_encoder(folder, dtype=torch.float32)([prompt])[0]


def experts(clip):
    """The parameters that no layer of ComfyUI's casts, and that are matrices."""
    model = clip.cond_stage_model.transformer
    return {key: p for key, p in model.model.named_parameters() if key in model.swapped and "proj.weight" not in key}


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_weights_are_computed_in_fp32(kind, boxed, tmp_path):
    clip = load_clip(save(kind, tmp_path, boxed))
    assert torch.equal(encode(clip), pure(tmp_path))
    assert experts(clip) and all(p.dtype == torch.bfloat16 for p in experts(clip).values())


@pytest.mark.parametrize("name", ["fp8_e4m3fn", "fp8_e5m2", "fp16", "fp32"])
@pytest.mark.parametrize("kind", KINDS)
def test_weight_dtypes(kind, name, boxed, tmp_path):
    clip = load_clip(save(kind, tmp_path, boxed), weight_dtype=name)
    assert {p.dtype for p in experts(clip).values()} == {WEIGHT_DTYPES[name]}
    found, expected = encode(clip), pure(tmp_path)
    assert found.isfinite().all() and found.std() > 0
    limit = {"fp32": 0, "fp16": 0.01}.get(name, 0.9)
    assert (found - expected).abs().mean() <= limit * expected.abs().mean()


@pytest.mark.parametrize("kind", KINDS)
def test_partly_loaded_and_unloaded_experts_stay_where_they_are(kind, boxed, tmp_path):
    """Whatever has been moved: the features are the same, and nothing is left converted or moved."""
    clip = load_clip(save(kind, tmp_path, boxed), disable_dynamic=True)
    expected = encode(clip)
    patcher = clip.patcher
    for budget in (1, 20_000, 10**9):
        patcher.detach()
        patcher.load(torch.device("cpu"), lowvram_model_memory=budget)
        before = {key: (p.dtype, p.device) for key, p in patcher.model.named_parameters()}
        ids = [(number, 1.0) for number, *_ in clip.tokenize(PROMPT)["llm"][0]]
        assert torch.equal(clip.cond_stage_model.encode_token_weights({"llm": [ids]})[0], expected)
        assert before == {key: (p.dtype, p.device) for key, p in patcher.model.named_parameters()}
    held = [value for module in patcher.model.modules() for value in vars(module).values()]
    assert not any(isinstance(value, CastAtUse) for value in held)


def test_experts_left_on_another_device_are_fetched_at_use(boxed, tmp_path):
    """The meta device stands in for a GPU: where experts are asked for is where each cast goes."""
    clip = load_clip(save("mixtral", tmp_path, boxed))
    key, weight = next(iter(experts(clip).items()))
    part = CastAtUse.of(weight, torch.device("meta"), torch.float32)
    assert part[0].device.type == "meta" and part.device.type == "meta" and weight.device.type == "cpu", key


def test_memory_estimate_knows_the_largest_cast(boxed, tmp_path):
    model = load_clip(save("gpt_oss", tmp_path, boxed)).cond_stage_model
    assert model.transformer.largest_cast == 2 * SIZES["intermediate_size"] * SIZES["hidden_size"]
    assert model.memory_estimation_function({}) >= 4 * model.transformer.largest_cast


def test_qwen_1_and_internlm2_on_comfyui(boxed, tmp_path):
    for name, make in (("qwen", old_llms.write_qwen), ("internlm2", old_llms.write_internlm2)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        if name == "internlm2":
            for file in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(boxed / file, folder / file)
        assert torch.equal(encode(load_clip(folder)), pure(folder))


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A models folder and an output folder of its own, instead of the user's."""
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    kinds = {name: ([str(tmp_path / name)], {".safetensors"}) for name in ("text_encoders", "diffusers", "LLM")}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {**folder_paths.folder_names_and_paths, **kinds})
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path / "output"))
    (tmp_path / "text_encoders").mkdir()
    return tmp_path


def clip_save(clip, models, name="saved.safetensors"):
    """Run the stock node CLIPSave; the file goes to models/text_encoders."""
    merging.CLIPSave().save(clip, "clip/x")
    (file,) = (models / "output/clip").glob("*.safetensors")
    shutil.move(file, models / "text_encoders" / name)
    return models / "text_encoders" / name


@pytest.mark.parametrize("kind", ["gemma", "mixtral", "qwen", "internlm2"])
@pytest.mark.parametrize("weight_dtype", ["default", "fp8_e4m3fn"])
def test_a_file_of_clip_save_opens_in_the_loader(kind, weight_dtype, boxed, models):
    folder = models / "source"
    if kind in ("qwen", "internlm2"):
        folder.mkdir()
        getattr(old_llms, f"write_{kind}")(folder)
    else:
        save(kind, folder, boxed) if kind in KINDS else shutil.copytree(boxed, folder)
    if kind == "internlm2":
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(boxed / file, folder / file)
    clip = load_clip(folder, weight_dtype=weight_dtype)
    clip_save(clip, models)
    assert "saved.safetensors" in folders.llm_folders()
    (again,) = LoadTextEncoder.execute("saved.safetensors", -2, 256, "default", "default").args
    for prompt in (PROMPT, ""):
        assert torch.equal(encode(again, prompt), encode(clip, prompt))
    kinds = [{k: p.dtype for k, p in c.cond_stage_model.named_parameters()} for c in (clip, again)]
    assert kinds[0] == kinds[1]
    make, arguments = again.patcher.cached_patcher_init
    assert make(*arguments, disable_dynamic=True).model is not again.patcher.model


def test_the_loaders_choices_win_over_the_files(boxed, models):
    clip_save(load_clip(boxed, layer=-3, max_tokens=9), models)
    (again,) = LoadTextEncoder.execute("saved.safetensors", -1, 30, "fp16", "cpu").args
    expected = encode(load_clip(boxed, layer=-1, max_tokens=30, weight_dtype="fp16"), "x" * 99)
    assert expected.shape[1] == 30 and torch.equal(encode(again, "x" * 99), expected)
    assert again.patcher.load_device == torch.device("cpu")


def test_a_saved_file_that_changes_or_goes(boxed, models):
    file = clip_save(load_clip(boxed), models)
    before = LoadTextEncoder.fingerprint_inputs(text_encoder=file.name)
    weights = load_file(file)
    save_file({**weights, "more": torch.zeros(1)}, file)
    assert LoadTextEncoder.fingerprint_inputs(text_encoder=file.name) != before
    broken = {key: value for key, value in weights.items() if "norm" not in key}
    save_file(broken, file)
    with pytest.raises(ValueError, match=f"{re.escape(str(file))} does not hold the weights"):
        load_clip(file)
    save_file({**weights, "llm.config_json": torch.zeros(3, dtype=torch.uint8)}, file)
    with pytest.raises(ValueError, match=f"{re.escape(str(file))}: its tokenizer or config cannot be read"):
        load_clip(file)
    file.unlink()
    assert file.name not in folders.llm_folders()


def test_text_encoders_of_other_models_are_not_listed_and_say_so(models):
    save_file({"encoder.block.0.weight": torch.zeros(2, 2)}, models / "text_encoders/t5xxl.safetensors")
    (models / "text_encoders/broken.safetensors").write_bytes(b"<html>")
    assert folders.llm_folders() == {}
    with pytest.raises(ValueError, match="t5xxl.safetensors is no text encoder saved from this loader.*Load CLIP"):
        load_clip(models / "text_encoders/t5xxl.safetensors")


def test_config_of_a_saved_file_is_the_folders(boxed, models):
    file = clip_save(load_clip(boxed), models)
    config = json.loads(bytes(load_file(file)["llm.config_json"].numpy()))
    assert config == json.loads((boxed / "config.json").read_text())
