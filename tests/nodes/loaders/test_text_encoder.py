"""The LLM as a real ComfyUI CLIP: stock nodes, memory, dtypes, saving, listing, errors."""

import importlib.util
import json
import logging
import shutil
from pathlib import Path

import comfy.ops
import comfy.sd
import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit.encoders.llm.model import LanguageModel
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.text.clip import WEIGHT_DTYPES, clip_target_from_state_dict, load_clip

PROMPT = "a (red:1.3) fox, ((very)) small 👩‍🚀 مرحبا שלום"


PREFIX = "text_encoders."


# ComfyUI's nodes.py under a name of its own: pytest calls this test folder `nodes`, too.
spec = importlib.util.spec_from_file_location("comfyui_nodes", Path(folder_paths.__file__).with_name("nodes.py"))


nodes = importlib.util.module_from_spec(spec)


spec.loader.exec_module(nodes)


@pytest.fixture(scope="module")
def clip(llm):
    return load_clip(llm)


def encode(clip, prompt=PROMPT):
    """The stock CLIP Text Encode node: features and the rest of the conditioning."""
    ((features, extra),) = nodes.CLIPTextEncode().encode(clip, prompt)[0]
    return features, extra


def pure(folder, prompt=PROMPT, **options):
    return load_text_encoder(folder, dtype=torch.float32, **options)([prompt])


def rebuilt(clip):
    """The CLIP that Load Checkpoint makes from what Save Checkpoint writes."""
    saved = {PREFIX + key: value.clone() for key, value in clip.state_dict_for_saving().items()}
    target = clip_target_from_state_dict(saved, PREFIX)
    inner = {key.removeprefix(PREFIX): value for key, value in saved.items()}
    return comfy.sd.CLIP(target, tokenizer_data=inner, parameters=1, state_dict=inner)


@pytest.mark.parametrize("prompt", [PROMPT, "", "x" * 255])
def test_clip_text_encode_equals_the_pure_encoder(clip, llm, prompt):
    features, extra = encode(clip, prompt)
    expected, mask = pure(llm, prompt)
    assert torch.equal(features, expected)  # bf16 weights, computed in fp32 on both sides
    assert torch.equal(extra["attention_mask"], mask) and extra["pooled_output"] is None


@pytest.mark.parametrize("prompt", [PROMPT, ""])
def test_as_lumina_t2i_has_it(llm, prompt):
    clip = load_clip(llm, layer=-1, eos=True)
    expected, mask = pure(llm, prompt, layer=-1, eos=True, mask_padding=False)
    for each in (clip, rebuilt(clip)):
        features, extra = encode(each, prompt)
        torch.testing.assert_close(features, expected)
        assert torch.equal(extra["attention_mask"].bool(), mask.bool())
    assert features.shape[1] == encode(load_clip(llm), prompt)[0].shape[1] + 1


def test_escaped_parentheses_are_parentheses(clip, llm):
    assert torch.equal(encode(clip, r"smile \(happy\)")[0], pure(llm, "smile (happy)")[0])


def test_long_prompt_is_cut_and_the_log_says_how_much(clip, llm, caplog):
    with caplog.at_level(logging.WARNING):
        features, _ = encode(clip, "word " * 1000)
    assert features.shape[1] == 256
    assert "prompt cut by 4745 of 5000 tokens: raise max_tokens" in caplog.text
    assert encode(load_clip(llm, max_tokens=6000), "word " * 1000)[0].shape[1] == 5001


def test_embedding_syntax_is_text_with_a_warning(clip, llm, caplog):
    with caplog.at_level(logging.WARNING):
        features, _ = encode(clip, "a cat, embedding:style")
    assert "does not exist for LLM text encoders" in caplog.text
    assert torch.equal(features, pure(llm, "a cat, embedding:style")[0])


def test_short_prompts_are_silent(clip, caplog):
    with caplog.at_level(logging.WARNING):
        encode(clip)
    assert not caplog.records


def test_stock_conditioning_nodes(clip):
    (one,), (two,) = nodes.CLIPTextEncode().encode(clip, "a cat"), nodes.CLIPTextEncode().encode(clip, "two dogs")
    assert len(nodes.ConditioningCombine().combine(one, two)[0]) == 2
    assert nodes.ConditioningConcat().concat(one, two)[0][0][0].shape[1] == 6 + 9
    averaged = nodes.ConditioningAverage().addWeighted(one, two, 0.5)[0]
    assert averaged[0][0].shape == one[0][0].shape
    assert nodes.ConditioningZeroOut().zero_out(one)[0][0][0].abs().sum() == 0
    assert nodes.ConditioningSetArea().append(one, 64, 64, 0, 0, 1.0)[0][0][1]["area"] == (8, 8, 0, 0)
    assert nodes.ConditioningSetTimestepRange().set_range(one, 0.0, 0.5)[0][0][1]["end_percent"] == 0.5
    assert nodes.ConditioningSetMask().append(one, torch.ones(8, 8), "default", 1.0)[0][0][1]["mask"].shape[-2:] == (
        8,
        8,
    )


@pytest.mark.parametrize("layer", [-1, -2, -3, -4])
def test_set_last_layer(clip, llm, layer):
    (other,) = nodes.CLIPSetLastLayer().set_last_layer(clip, layer)
    assert torch.equal(encode(other)[0], pure(llm, layer=layer)[0])
    assert torch.equal(encode(clip)[0], pure(llm)[0])  # the loader's layer again


def test_set_last_layer_beyond_the_first(clip):
    (other,) = nodes.CLIPSetLastLayer().set_last_layer(clip, -24)
    with pytest.raises(ValueError, match="layer -24 does not exist: this LLM has 3 layers"):
        encode(other)


@pytest.mark.parametrize("name, limit", [("fp8_e4m3fn", 0.4), ("fp8_e5m2", 0.8), ("fp16", 1e-3), ("fp32", 0.0)])
def test_weight_dtypes(llm, name, limit):
    clip = load_clip(llm, weight_dtype=name)
    held = {key: value.dtype for key, value in clip.cond_stage_model.named_parameters()}
    linear = held["llm.transformer.model.layers.0.mlp.up_proj.weight"]
    assert linear == WEIGHT_DTYPES[name]
    assert held["llm.transformer.model.embed_tokens.weight"] == (torch.bfloat16 if linear.itemsize == 1 else linear)
    features, expected = encode(clip)[0], pure(llm)[0]
    assert (features - expected).abs().mean() <= limit * expected.abs().mean()


def test_fp8_file_stays_fp8(llm, tmp_path):
    folder = shutil.copytree(llm, tmp_path / "fp8")
    weights = load_file(folder / "model.safetensors")
    save_file({key: value.to(torch.float8_e4m3fn) for key, value in weights.items()}, folder / "model.safetensors")
    clip = load_clip(folder)
    kinds = {parameter.dtype for parameter in clip.cond_stage_model.parameters()}
    assert kinds == {torch.float8_e4m3fn, torch.bfloat16}
    assert torch.equal(encode(clip)[0], pure(folder)[0])


def test_llama_and_qwen_run_on_comfyui_operations(llm, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    for kind in ("llama", "qwen2"):
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **sizes, num_key_value_heads=2, vocab_size=260, pad_token_id=259)
        folder = tmp_path / kind
        AutoModelForCausalLM.from_config(config).bfloat16().save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(llm / name, folder)
        clip = load_clip(folder)
        assert torch.equal(encode(clip)[0], pure(folder)[0])
        assert encode(load_clip(folder, weight_dtype="fp8_e4m3fn"))[0].isfinite().all()


def test_clone_shares_weights_and_patches_stay_apart(clip):
    other, before = clip.clone(), encode(clip)[0]
    key = "llm.transformer.model.layers.0.mlp.up_proj.weight"
    assert other.add_patches({key: ("diff", (torch.ones(128, 64),))}, 1.0, 1.0) == [key]
    assert not torch.allclose(encode(other)[0], before)
    assert torch.equal(encode(clip)[0], before)


def test_lora_names(clip):
    import comfy.lora

    names = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {})
    assert "text_encoders.llm.transformer.model.layers.0.self_attn.q_proj" in names


@pytest.mark.parametrize("name", ["default", "fp8_e4m3fn"])
def test_saved_with_a_checkpoint_and_rebuilt(llm, name):
    clip = load_clip(llm, layer=-3, max_tokens=20, weight_dtype=name)
    again = rebuilt(clip)
    assert torch.equal(encode(again)[0], encode(clip)[0])
    assert encode(again)[0].shape[1] == 20
    before, after = clip.cond_stage_model.state_dict(), again.cond_stage_model.state_dict()
    assert {key: value.dtype for key, value in before.items()} == {key: value.dtype for key, value in after.items()}
    assert set(rebuilt(again).get_sd()) == set(clip.get_sd())


def test_one_file_with_model_and_text_encoder(clip, tmp_path):
    model = loading.load(loading.find("lumina-next-demo.safetensors"))
    file = str(tmp_path / "whole.safetensors")
    comfy.sd.save_checkpoint(file, model, clip)
    _, again, *_ = comfy.sd.load_checkpoint_guess_config(file, output_vae=False)
    assert torch.equal(encode(again)[0], encode(clip)[0])
    assert torch.equal(encode(again, "")[0], encode(clip, "")[0])


def test_lazy_weights_of_dynamic_memory(llm, monkeypatch):
    """ComfyUI's dynamic VRAM makes Linear without weights; the file's tensors become them."""
    if not hasattr(comfy, "memory_management"):
        pytest.skip("this ComfyUI has no dynamic VRAM")
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)
    config = json.loads((llm / "config.json").read_text())
    model = LanguageModel(config, operations=comfy.ops.manual_cast, dtype=torch.bfloat16)
    model.materialize("cpu")
    linear = model.model.layers[0].mlp.up_proj
    assert linear.weight is None
    model.load(load_file(llm / "model.safetensors"), "the file", assign=True)
    assert linear.weight.dtype == torch.bfloat16
    ids, mask, _ = load_text_encoder(llm).tokenizer.batch([PROMPT])
    assert torch.equal(model(ids, mask, -2, dtype=torch.float32), pure(llm)[0])


def test_damaged_checkpoint_says_which_weights_are_missing(clip):
    saved = {PREFIX + key: value for key, value in clip.state_dict_for_saving().items()}
    target = clip_target_from_state_dict(saved, PREFIX)
    inner = {key.removeprefix(PREFIX): value for key, value in saved.items() if "norm" not in key}
    with pytest.raises(ValueError, match="the checkpoint's text encoder does not hold.*7 missing"):
        comfy.sd.CLIP(target, tokenizer_data=inner, parameters=1, state_dict=inner)


def test_checkpoint_without_text_encoder():
    assert clip_target_from_state_dict({"model.diffusion_model.x": torch.zeros(1)}, PREFIX) is None


def test_comfyui_can_make_the_model_anew(clip, llm):
    make, arguments = clip.patcher.cached_patcher_init
    patcher = make(*arguments, disable_dynamic=True)
    assert patcher.model is not clip.patcher.model
    other = clip.clone()
    other.patcher, other.cond_stage_model = patcher, patcher.model
    assert torch.equal(encode(other)[0], encode(clip)[0])


def test_memory_estimate(clip):
    model = clip.cond_stage_model
    short, long = clip.tokenize("a"), clip.tokenize("a" * 200)
    assert 0 < model.memory_estimation_function({}) <= model.memory_estimation_function(short)
    assert model.memory_estimation_function(long) > model.memory_estimation_function(short)


def test_tokens_come_back_as_text(clip):
    tokens = clip.tokenize("né", return_word_ids=True)["llm"][0]
    assert [word for _, _, word in tokens] == [0, 1, 1, 1]
    assert clip.decode([number for number, *_ in tokens]) == "né"
    assert clip.tokenizer.untokenize(tokens)[0][1] == "<bos>"


def test_cpu_device(llm):
    clip = load_clip(llm, device="cpu")
    assert clip.patcher.load_device == clip.patcher.offload_device == torch.device("cpu")
