"""The text encoder against transformers: features, masks, tokens, and what is said about broken folders."""

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from lumina_next.nextdit.encoders.llm.model import LanguageModel
from lumina_next.nextdit.encoders.llm.tokenizer import parse_tokenizer
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.tests.support.untrained_text_encoder import write

PROMPTS = ["a red fox (running:1.2) in the snow", "", "👩‍🚀🏳️‍🌈 مرحبا بالعالم שלום עולם 你好，世界 naïve"]
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


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gemma"))


@pytest.fixture
def folder(gemma, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(gemma, tmp_path / "llm")


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


def reference(folder, model, prompts, **options):
    """transformers' own tokens and hidden states."""
    tokens = AutoTokenizer.from_pretrained(folder)(prompts, padding=True, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        return tokens, model(**tokens, output_hidden_states=True, use_cache=False, **options).hidden_states


def edit(file, **changes):
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


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


@pytest.fixture
def sentencepiece_folder(folder, tmp_path):
    """An InternLM-like folder, whose tokenizer is a sentencepiece model alone; and a reader of that model."""
    sentencepiece = pytest.importorskip("sentencepiece")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the quick brown fox jumps over the lazy dog\na small cat and a big dog\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), vocab_size=60, model_type="bpe", minloglevel=2
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    settings = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "auto_map": {"AutoTokenizer": ["x.Y", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder, sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def test_sentencepiece_model_alone(sentencepiece_folder):
    folder, reader = sentencepiece_folder
    encoder = load_text_encoder(folder, eos=True)
    words = reader.encode("a big fox")
    assert encoder.tokenizer.encode("a big fox").ids == [reader.bos_id(), *words, reader.eos_id()]
    assert encoder(["a big fox"])[0].isfinite().all()
    again = parse_tokenizer(encoder.tokenizer.tokenizer.to_str())
    assert again.encode("a big fox").ids == words and again.decode(words) == "a big fox"


def test_broken_sentencepiece_model(sentencepiece_folder):
    folder, _ = sentencepiece_folder
    (folder / "tokenizer.model").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="tokenizer.model is not a sentencepiece model"):
        load_text_encoder(folder)


def test_vocabulary_and_merges(folder):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    edit(folder / "tokenizer_config.json", tokenizer_class="Qwen2Tokenizer", unk_token="<unk>")
    ids = load_text_encoder(folder).tokenizer.encode("né").ids
    assert ids == [2, *(vocabulary[token] for token in "nÃ©")]


def diffusers_layout(gemma, root):
    (root / "text_encoder").mkdir(parents=True)
    (root / "tokenizer").mkdir()
    weights = {key.removeprefix("model."): value for key, value in load_file(gemma / "model.safetensors").items()}
    names = sorted(weights)
    table = {}
    for part, keys in enumerate((names[:10], names[10:]), 1):
        shard = f"model-{part:05}-of-00002.safetensors"
        save_file({key: weights[key] for key in keys}, root / "text_encoder" / shard)
        table |= dict.fromkeys(keys, shard)
    (root / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    shutil.copy(gemma / "config.json", root / "text_encoder")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(gemma / name, root / "tokenizer")
    return root


@pytest.mark.parametrize("inner", ["", "text_encoder"])
def test_diffusers_repository_with_shards(gemma, tmp_path, inner):
    root = diffusers_layout(gemma, tmp_path / "repository")
    expected, _ = load_text_encoder(gemma)(PROMPTS)
    assert torch.equal(load_text_encoder(root / inner)(PROMPTS)[0], expected)


def test_missing_shard(gemma, tmp_path):
    root = diffusers_layout(gemma, tmp_path / "repository")
    (root / "text_encoder" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00002.safetensors"):
        load_text_encoder(root)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float8_e4m3fn, torch.float8_e5m2])
def test_file_dtypes(gemma, folder, dtype):
    weights = {key: value.to(dtype) for key, value in load_file(gemma / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    features, _ = load_text_encoder(folder)(PROMPTS)
    expected = torch.bfloat16 if dtype.itemsize == 1 else dtype
    assert features.dtype == expected
    plain = {key: value.to(expected) for key, value in weights.items()}
    save_file(plain, folder / "model.safetensors")
    assert torch.equal(features, load_text_encoder(folder)(PROMPTS)[0])


def test_pickled_weights(gemma, folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, "lm_head.weight": torch.zeros(260, 64)}, folder / "pytorch_model.bin")
    assert torch.equal(load_text_encoder(folder)(PROMPTS)[0], load_text_encoder(gemma)(PROMPTS)[0])


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code from a weight file was run",))


def test_pickle_with_code_is_refused(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Bomb()}))
    with pytest.raises(ValueError, match="pytorch_model.bin"):
        load_text_encoder(folder)


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


def without(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def rewrite_weights(change):
    def apply(folder):
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return apply


def truncate(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def config(**changes):
    return lambda folder: edit(folder / "config.json", **changes)


BROKEN = {
    "no tokenizer": (
        without("tokenizer.json"),
        FileNotFoundError,
        "has no tokenizer: expected one of tokenizer.json, tokenizer.model",
    ),
    "no weights": (
        without("model.safetensors"),
        FileNotFoundError,
        "has no weights: expected one of model.safetensors",
    ),
    "no config": (without("config.json"), FileNotFoundError, "holds no LLM: expected config.json"),
    "broken config": (
        lambda folder: (folder / "config.json").write_text("{"),
        ValueError,
        "config.json is not valid JSON",
    ),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), ValueError, "holds a JSON list"),
    "broken tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text('{"model": 1}'),
        ValueError,
        "tokenizer.json cannot be read",
    ),
    "remote code": (
        config(model_type="qwen", auto_map={"AutoModel": "modeling_qwen.QWenModel"}),
        ValueError,
        "'qwen' needs code from its repository.*never run.*Qwen1.5",
    ),
    "encoder-decoder": (config(model_type="t5"), ValueError, "'t5' is not a decoder-only LLM"),
    "multi-modal": (config(model_type="gemma3", text_config={}), ValueError, "takes images as well as text"),
    "quantized": (config(quantization_config={"quant_method": "gptq"}), ValueError, r"quantized \(gptq\)"),
    "truncated": (truncate, ValueError, "model.safetensors is not a whole safetensors file"),
    "missing key": (
        rewrite_weights(lambda weights: weights.pop("model.norm.weight")),
        ValueError,
        "1 missing: norm.weight",
    ),
    "unexpected key": (
        rewrite_weights(lambda weights: weights.update({"model.adapter.weight": torch.zeros(1)})),
        ValueError,
        "1 unexpected: adapter.weight",
    ),
    "wrong shape": (
        config(intermediate_size=96),
        ValueError,
        r"9 of another shape: layers.0.mlp.gate_proj.weight \(128, 64\), expected \(96, 64\)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_folders(folder, case):
    change, error, message = BROKEN[case]
    change(folder)
    with pytest.raises(error, match=message) as caught:
        load_text_encoder(folder)
    assert str(folder) in str(caught.value)


def test_folder_that_is_gone(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        load_text_encoder(tmp_path / "nowhere")
