"""What a text encoder's folder may hold: layouts, tokenizers and weights of other kinds, and what is broken."""

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit.encoders.llm.tokenizer import parse_tokenizer
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.tests.nextdit.encoders.conftest import PROMPTS, edit


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
