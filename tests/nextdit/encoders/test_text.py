"""The text encoder against transformers: features, masks, tokens, and what is said about broken folders."""

import json
import shutil

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from lumina_next.nextdit.encoders.llm.model import LanguageModel
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.tests.nextdit.encoders.conftest import PROMPTS, edit, reference
from lumina_next.tests.support.untrained_text_encoder import write

SMALL = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 260,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}


FAMILIES = ["gemma", "llama", "qwen2", "gemma2", "mistral", "qwen3", "gpt_neox"]


def save_family(kind, folder, gemma, **changes):
    """Write a random LLM as transformers saves it (causal-LM keys, head included); return its bare model."""
    torch.manual_seed(0)
    head_dim = {"head_dim": 12} if kind in ("gemma", "gemma2", "qwen3") else {}
    config = AutoConfig.for_model(kind, **{**SMALL, **head_dim, "tie_word_embeddings": False, **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(gemma / name, folder / name)
    return model.base_model


@pytest.mark.parametrize("kind", FAMILIES)
def test_features_equal_transformers(kind, gemma, tmp_path):
    tokens, states = reference(gemma, save_family(kind, tmp_path, gemma), PROMPTS)
    for layer in (-1, -2, 0, 1):
        features, mask = load_text_encoder(tmp_path, layer=layer)(PROMPTS)
        assert torch.equal(features, states[layer])
        assert torch.equal(mask, tokens["attention_mask"])


def test_defaults_are_lumina_nexts(gemma):
    model = AutoModel.from_pretrained(gemma)
    _, states = reference(gemma, model, PROMPTS)
    features, _ = load_text_encoder(gemma)(PROMPTS)
    assert features.dtype == torch.bfloat16  # the file's
    assert torch.equal(features, states[-2])


def test_features_differ_between_prompts(gemma):
    features, _ = load_text_encoder(gemma, dtype=torch.float32)(["a cat", "a dog"])
    assert (features[0] - features[1]).abs().max() > 0.1 * features.std()


def test_llama_conventions_of_lumina_t2i(gemma, tmp_path):
    model = save_family("llama", tmp_path, gemma)
    encoder = load_text_encoder(tmp_path, layer=-1, eos=True, mask_padding=False)
    features, mask = encoder(["longer", "x"])
    ids, _, _ = encoder.tokenizer.batch(["longer", "x"])
    assert ids[1].tolist()[:1] == [2] and ids[1].tolist()[2:] == [1, 0, 0, 0, 0, 0]  # BOS, x, EOS, padding
    with torch.no_grad():
        assert torch.equal(features, model(input_ids=ids).last_hidden_state)
    assert mask.tolist() == [[1] * 8, [1] * 3 + [0] * 5]


def test_internlm_is_llama_with_biases(gemma, tmp_path):
    model = save_family("llama", tmp_path, gemma, attention_bias=True)
    edit(tmp_path / "config.json", model_type="internlm", bias=True, attention_bias=..., auto_map={"AutoModel": "x.Y"})
    _, states = reference(gemma, model, PROMPTS)
    assert torch.equal(load_text_encoder(tmp_path)(PROMPTS)[0], states[-2])


@pytest.mark.parametrize("layer, runs", [(-1, 3), (-2, 2), (-4, 0)])
def test_layers_behind_the_features_are_not_run(gemma, layer, runs):
    encoder, calls = load_text_encoder(gemma, layer=layer), []
    for block in encoder.llm.model.layers:
        block.register_forward_hook(lambda *_: calls.append(1))
    encoder(["a"])
    assert len(calls) == runs


@pytest.mark.parametrize("layer", [-5, 4])
def test_layer_out_of_range(gemma, layer):
    with pytest.raises(ValueError, match=f"layer {layer} does not exist: this LLM has 3 layers, so -4 to 3"):
        load_text_encoder(gemma, layer=layer)


def test_long_prompts_are_cut_as_by_transformers(gemma):
    prompt = "word " * 1000
    encoder = load_text_encoder(gemma, max_tokens=256)
    ids, mask, cut = encoder.tokenizer.batch([prompt, "short"])
    expected = AutoTokenizer.from_pretrained(gemma)(prompt, truncation=True, max_length=256)["input_ids"]
    assert ids[0].tolist() == expected and mask[0].sum() == 256
    assert cut == [5000 - 255, 0]
    features, _ = load_text_encoder(gemma, max_tokens=6000)([prompt])
    assert features.shape[1] == 5001 and features.isfinite().all()


def test_padding_does_not_change_a_prompt(gemma):
    encoder = load_text_encoder(gemma, dtype=torch.float32)
    alone, _ = encoder(["a cat"])
    beside, mask = encoder(["a cat", "a much longer prompt about something else"])
    torch.testing.assert_close(beside[:1, : alone.shape[1]], alone, atol=1e-5, rtol=1e-5)
    assert mask[0].sum() == alone.shape[1]


def test_half_an_emoji_and_special_tokens_in_the_text(gemma):
    tokenizer = load_text_encoder(gemma).tokenizer
    assert tokenizer.encode("a\ud83d").ids == tokenizer.encode("a?").ids
    assert tokenizer.encode("").ids == [2]
    with pytest.raises(ValueError, match="no prompt was given"):
        tokenizer.batch([])


def test_family_without_start_token(folder):
    edit(folder / "tokenizer_config.json", bos_token=None, add_bos_token=False, pad_token="<eos>")
    tokenizer = load_text_encoder(folder).tokenizer
    assert (
        tokenizer.encode("ab").ids == AutoTokenizer.from_pretrained(folder)("ab", add_special_tokens=False)["input_ids"]
    )
    assert tokenizer.encode("").ids == [1]  # a model needs one token


def test_start_token_from_config_json(folder):
    edit(folder / "tokenizer_config.json", bos_token=...)
    assert load_text_encoder(folder).tokenizer.encode("").ids == [2]


@pytest.mark.parametrize(
    "options, message", [({"max_tokens": 1}, "expected at least 2"), ({"max_tokens": 0}, "at least 2")]
)
def test_no_room_for_a_prompt(gemma, options, message):
    with pytest.raises(ValueError, match=message):
        load_text_encoder(gemma, **options)


class CountingLinear(torch.nn.Linear):
    pass


class Operations:
    Linear = CountingLinear
    LayerNorm = torch.nn.LayerNorm


@pytest.mark.parametrize("kind", ["gemma", "qwen2"])
def test_leaf_swap_keeps_the_state_dict(kind):
    config = AutoConfig.for_model(kind, **SMALL)
    plain = AutoModel.from_config(config)
    llm = LanguageModel(config.to_dict(), operations=Operations)
    assert list(llm.model.state_dict()) == list(plain.state_dict())
    linears = [leaf for leaf in llm.model.modules() if isinstance(leaf, torch.nn.Linear)]
    assert len(linears) == 3 * 7 and all(type(leaf) is CountingLinear for leaf in linears)
    assert all(parameter.is_meta for parameter in llm.parameters())
    for (name, ours), (_, theirs) in zip(llm.model.named_buffers(), plain.named_buffers(), strict=True):
        assert torch.equal(ours, theirs), name  # rotary tables are in no file


def test_fp8_is_for_linear_weights_only(gemma):
    llm = LanguageModel(json.loads((gemma / "config.json").read_text()), weight_dtype=torch.float8_e4m3fn)
    kinds = {name: parameter.dtype for name, parameter in llm.model.named_parameters()}
    assert kinds["layers.0.mlp.up_proj.weight"] == torch.float8_e4m3fn
    assert kinds["embed_tokens.weight"] == kinds["norm.weight"] == torch.float32


def test_untrained_encoder_is_reproducible(gemma, tmp_path):
    again, other = write(tmp_path / "again"), write(tmp_path / "other", seed=1)
    for file in sorted(gemma.iterdir()):
        assert file.read_bytes() == (again / file.name).read_bytes()
    assert (gemma / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
