"""LLMs whose files differ from transformers' model (mixtures of experts, Qwen 1, InternLM), and those refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModel

from lumina_next.nextdit.encoders.llm.cast_at_use import CastAtUse
from lumina_next.nextdit.encoders.llm.model import LanguageModel
from lumina_next.nextdit.encoders.llm.tiktoken import QWEN_WORDS, read_qwen_tokenizer
from lumina_next.nextdit.encoders.llm.tokenizer import parse_tokenizer
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.tests.nextdit.encoders.conftest import SMALL, save
from lumina_next.tests.support import old_llms

EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}


LATENT = {"num_key_value_heads": 4, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}


DEEPSEEK = {**LATENT, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}


MIXTURES = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {"num_experts": 4, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {"num_experts": 4, "head_dim": 8},
    "olmoe": {"num_experts": 4},
    "phimoe": {"num_local_experts": 4},
    "granitemoe": {"num_local_experts": 4},
    "deepseek_v2": {**DEEPSEEK, "q_lora_rank": 8},
    "deepseek_v3": {**DEEPSEEK, "q_lora_rank": 8, "n_shared_experts": 1},
    "gpt_oss": {"num_local_experts": 4, "head_dim": 8},
    "jamba": {"num_experts": 4, "use_mamba_kernels": False},
}


# Their states are not those of one run through the layers: another norm before the first, layers run twice.
OTHERS = {
    "nanochat": {},
    "biogpt": {"num_key_value_heads": 4},
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8},
    "gpt2": {},
}


def check(folder, layers=(-2, -1, 1)):
    """Our features are transformers' hidden states."""
    encoder = load_text_encoder(folder)
    ids, mask, _ = encoder.tokenizer.batch(["a red fox", "snow"])
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states
    for layer in layers:
        found = encoder.llm(ids, mask, layer)
        torch.testing.assert_close(found * mask[..., None], states[layer] * mask[..., None], atol=1e-5, rtol=1e-5)
    assert states[-2].std() > 0.1


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("kind", MIXTURES)
def test_a_mixture_of_experts_gives_transformers_features(kind, head, boxed, tmp_path):
    check(save(kind, tmp_path, boxed, head, **{**EXPERTS, **MIXTURES[kind]}))


@pytest.mark.parametrize("kind", OTHERS)
def test_models_that_differ_from_llama_in_their_own_ways(kind, boxed, tmp_path):
    # BioGPT's last state is before the final norm in older transformers
    check(save(kind, tmp_path, boxed, **OTHERS[kind]), layers=(-2, 1) if kind == "biogpt" else (-2, -1, 1))


def test_a_mixture_in_fp8_and_bf16_files(boxed, tmp_path):
    save("mixtral", tmp_path, boxed, num_local_experts=4)
    weights = load_file(tmp_path / "model.safetensors")
    for dtype, kept in ((torch.float8_e4m3fn, torch.bfloat16), (torch.float16, torch.float16)):
        save_file({key: value.to(dtype) for key, value in weights.items()}, tmp_path / "model.safetensors")
        features, _ = load_text_encoder(tmp_path)(["a red fox"])
        assert features.dtype == kept
        save_file({key: value.to(dtype).to(kept) for key, value in weights.items()}, tmp_path / "model.safetensors")
        assert torch.equal(load_text_encoder(tmp_path)(["a red fox"])[0], features)


def test_a_mixture_that_lacks_an_expert_is_refused(boxed, tmp_path):
    save("mixtral", tmp_path, boxed, num_local_experts=4)
    weights = load_file(tmp_path / "model.safetensors")
    lost = {key: value for key, value in weights.items() if ".layers.1." not in key or "experts" not in key}
    assert len(lost) < len(weights)
    save_file(lost, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"does not hold the weights of the MixtralModel.*missing: .*layers\.1\."):
        load_text_encoder(tmp_path)
    save_file({**weights, "model.layers.0.adapter.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 unexpected: layers\.0\.adapter\.weight"):
        load_text_encoder(tmp_path)


def test_what_chooses_experts_is_not_rounded(boxed, tmp_path):
    """DeepSeek-V3's bias of the choice is fp32 in bf16 files."""
    save("deepseek_v3", tmp_path, boxed, **{**EXPERTS, **MIXTURES["deepseek_v3"]})
    weights = {key: value.bfloat16() for key, value in load_file(tmp_path / "model.safetensors").items()}
    biases = {key: torch.rand(4) for key in weights if key.endswith("e_score_correction_bias")}
    assert biases
    save_file(weights | biases, tmp_path / "model.safetensors")
    model = load_text_encoder(tmp_path).llm.model
    for key, value in biases.items():
        assert torch.equal(model.state_dict()[key.removeprefix("model.")], value)


def test_a_weight_cast_at_use():
    weight = torch.randn(3, 4, 5).bfloat16()
    view = CastAtUse.of(weight, torch.device("cpu"), torch.float32)
    assert view.dtype == torch.float32 and view.shape == (3, 4, 5) and view.device.type == "cpu"
    assert type(view[1]) is torch.Tensor and torch.equal(view[1], weight[1].float())
    x = torch.randn(3, 2, 5)
    assert torch.equal(torch.bmm(x, view.transpose(1, 2)), torch.bmm(x, weight.float().transpose(1, 2)))
    assert torch.equal(x[:, :1] * view, x[:, :1] * weight.float()) and torch.equal(-view, -weight.float())
    view.as_subclass(torch.Tensor)[0, 0, 0] = 7  # no copy: the weight itself
    assert weight[0, 0, 0] == 7 and weight.dtype == torch.bfloat16


@pytest.mark.parametrize("weight_dtype", [torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss", "gpt2"])
def test_experts_are_held_small_and_computed_in_full(kind, weight_dtype, boxed, tmp_path):
    save(kind, tmp_path, boxed, **({**EXPERTS, **MIXTURES[kind]} if kind in MIXTURES else {}))
    config = json.loads((tmp_path / "config.json").read_text())
    llm = LanguageModel(config, dtype=torch.bfloat16, weight_dtype=weight_dtype)
    llm.load(load_file(tmp_path / "model.safetensors"), "the file")
    before = {name: (parameter.dtype, parameter.device) for name, parameter in llm.model.named_parameters()}
    assert weight_dtype in {dtype for dtype, _ in before.values()}
    exact = LanguageModel(config)
    exact.load({key: value.float() for key, value in llm.model.state_dict().items()}, "the rounded weights")
    ids = torch.tensor([[2, 40, 50, 60]])
    assert torch.equal(llm(ids, None, -2, dtype=torch.float32), exact(ids, None, -2))
    assert before == {name: (parameter.dtype, parameter.device) for name, parameter in llm.model.named_parameters()}
    assert not any(isinstance(value, CastAtUse) for module in llm.modules() for value in vars(module).values())


def test_qwen_1(tmp_path):
    weights = old_llms.write_qwen(tmp_path)
    for layer, layers in ((-2, 2), (-4, 0)):
        encoder = load_text_encoder(tmp_path, layer=layer)
        prompt = "hello world 狐 12"
        ids, _, _ = encoder.tokenizer.batch([prompt])
        found = encoder([prompt])[0][0]
        torch.testing.assert_close(found, old_llms.qwen_states(weights, ids[0].tolist(), layers), atol=1e-5, rtol=1e-5)
    assert encoder.tokenizer.encode("").ids == [len(old_llms.ranks())]  # <|endoftext|>, as there is no start token


def test_qwen_1_beyond_its_training_length_is_refused(tmp_path):
    old_llms.write_qwen(tmp_path)
    assert load_text_encoder(tmp_path, max_tokens=64)(["1 " * 99])[0].shape[1] == 64
    with pytest.raises(ValueError, match="the prompt has 65 tokens, expected at most 64.*lower max_tokens"):
        load_text_encoder(tmp_path, max_tokens=65)(["1 " * 99])


@pytest.mark.parametrize("changes", [{"kv_channels": 16}, {"rotary_pct": 0.5}, {"no_bias": False}])
def test_other_qwens_are_refused(changes, tmp_path):
    old_llms.write_qwen(tmp_path, **changes)
    with pytest.raises(ValueError, match=f"Qwen with {next(iter(changes))} .* is not supported, expected"):
        load_text_encoder(tmp_path)


def test_qwens_tokens_are_tiktokens(tmp_path):
    old_llms.write_qwen(tmp_path)
    tokenizer = read_qwen_tokenizer(tmp_path / "qwen.tiktoken")
    split = pre_tokenizers.Split(Regex(QWEN_WORDS), behavior="isolated")

    def words(text):
        return [word for word, _ in split.pre_tokenize_str(text)]

    for text in (
        "hello world",
        "aaaaaaa aaa",
        "Helloworld's  é e\u0301 狐狸 123\r\n\n x",
        "hell  hello\t 🦊",
        "naïve 狐",
    ):
        found = tokenizer.encode(text, add_special_tokens=False).ids
        assert found == old_llms.tokens_by_rank(text, words), text
    assert words("it's 12") == ["it", "'s", " ", "1", "2"]
    count = len(old_llms.ranks())
    assert (
        tokenizer.encode("a<|im_end|>").ids[-1] == count + 2 and tokenizer.token_to_id("<|extra_204|>") == count + 207
    )
    again = parse_tokenizer(tokenizer.to_str())
    assert again.encode("hello 狐").ids == tokenizer.encode("hello 狐").ids
    assert tokenizer.decode(tokenizer.encode("hello 狐").ids) == "hello 狐"


@pytest.mark.parametrize("content", ["<html>", "aGU= x\n", "aGU= 0\n", "", "a!b= 1\n"])
def test_a_broken_tiktoken_file_is_named(content, tmp_path):
    old_llms.write_qwen(tmp_path)
    (tmp_path / "qwen.tiktoken").write_text(content)
    with pytest.raises(ValueError, match="qwen.tiktoken.*download"):
        load_text_encoder(tmp_path)


@pytest.mark.parametrize("changes", [{}, {"bias": True}, {"num_key_value_heads": 4}, {"rope_scaling": None}])
def test_internlm2(changes, boxed, tmp_path):
    weights = old_llms.write_internlm2(tmp_path, **changes)
    config = {**old_llms.INTERNLM2, **changes}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / name, tmp_path / name)
    encoder = load_text_encoder(tmp_path)
    ids, _, _ = encoder.tokenizer.batch(["a red fox"])
    expected = old_llms.internlm2_states(weights, ids[0].tolist(), 2, config)
    torch.testing.assert_close(encoder(["a red fox"])[0][0], expected, atol=1e-5, rtol=1e-5)


def test_internlm2_with_another_wqkv_is_refused(boxed, tmp_path):
    old_llms.write_internlm2(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / name, tmp_path / name)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_key_value_heads": 1}))
    with pytest.raises(ValueError, match="does not hold the weights of the LlamaModel.*wqkv"):
        load_text_encoder(tmp_path)


def test_internlm_1_has_its_own_base_and_biases(boxed, tmp_path):
    save("llama", tmp_path, boxed, attention_bias=True, rope_theta=500.0)
    model = AutoModel.from_pretrained(tmp_path).eval()
    config = {**SMALL, "model_type": "internlm", "bias": True, "rotary": {"base": 500, "type": "dynamic"}}
    config |= {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "auto_map": {"AutoModel": "x.Y"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    encoder = load_text_encoder(tmp_path)
    ids, _, _ = encoder.tokenizer.batch(["a red fox"])
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(encoder(["a red fox"])[0], states[-2], atol=1e-5, rtol=1e-5)
