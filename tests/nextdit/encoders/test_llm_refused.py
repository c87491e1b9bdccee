"""LLMs and files that cannot be text encoders are refused in words; marks that editors leave change nothing."""

import json
import re
import shutil

import pytest
import torch

from lumina_next.nextdit.text import load_text_encoder
from lumina_next.tests.support.untrained_text_encoder import CONFIG

REFUSED = {
    "bert": "is an encoder",
    "roberta": "is an encoder",
    "xlm-roberta": "is an encoder",
    "bart": "is an encoder",
    "pegasus": "is an encoder",
    "t5": "is not a decoder-only LLM",
    "umt5": "is not a decoder-only LLM",
    "clip_text_model": "is not a decoder-only LLM",
    "mamba": "is a state-space or recurrent model",
    "mamba2": "is a state-space or recurrent model",
    "falcon_mamba": "is a state-space or recurrent model",
    "rwkv": "is a state-space or recurrent model",
    "whisper": "has parts for more than text|decoder-only",
    "git": "has parts for more than text",
    "musicgen": "has parts for more than text|decoder-only|has a setting that transformers does not take",
    "trocr": "cannot build|decoder-only",
    "cpmant": "takes no embeddings",
    "chatglm": "is not a decoder-only LLM that the installed transformers knows",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_decoder_only_llm_is_refused_in_words(kind, boxed, tmp_path):
    folder = shutil.copytree(boxed, tmp_path / "llm")
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ValueError, match=REFUSED[kind]) as caught:
        load_text_encoder(folder)
    assert str(folder) in str(caught.value) and len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": None}, "config.json has no model_type, expected that of a decoder-only LLM"),
        ({"model_type": ["gemma"]}, "config.json has no model_type"),
        ({"hidden_size": "wide"}, "has a setting that transformers does not take|cannot build|no single hidden_size"),
        ({"num_hidden_layers": None}, "has a setting|no single num_hidden_layers|cannot build"),
        ({"num_attention_heads": 0}, "has a setting|cannot build|lacks or distorts"),
        ({"quantization_config": "gptq"}, r"the weights are quantized \(unknown\)"),
        ({"model_type": "baichuan", "auto_map": {"AutoModel": "x.Y"}}, "needs code from its repository"),
    ],
)
def test_a_config_that_cannot_be_used_is_named(changes, message, boxed, tmp_path):
    folder = shutil.copytree(boxed, tmp_path / "llm")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    with pytest.raises(ValueError, match=message) as caught:
        load_text_encoder(folder)
    assert str(folder) in str(caught.value)


FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.mark.parametrize("name", FILES)
def test_a_byte_order_mark_changes_nothing(name, boxed, tmp_path):
    folder = shutil.copytree(boxed, tmp_path / "llm")
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert torch.equal(load_text_encoder(folder)(["a fox"])[0], load_text_encoder(boxed)(["a fox"])[0])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ["<html>", "[]", b"\xff\xfe{\x00}\x00", b"\x80{}", ""])
def test_an_unreadable_file_is_named(name, content, boxed, tmp_path):
    folder = shutil.copytree(boxed, tmp_path / "llm")
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"{re.escape(name)}.*(expected|download)") as caught:
        load_text_encoder(folder)
    assert str(folder) in str(caught.value)


def test_vocabulary_and_merges_with_marks(boxed, tmp_path):
    folder = shutil.copytree(boxed, tmp_path / "llm")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Qwen2Tokenizer", "unk_token": "<unk>"}
    contents = {"vocab.json": json.dumps(vocabulary), "merges.txt": "#version: 0.2\r\n"}
    contents |= {"tokenizer_config.json": json.dumps(settings), "config.json": json.dumps(CONFIG)}
    for name, text in contents.items():
        (folder / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_text_encoder(folder).tokenizer.encode("né").ids == [2, *(vocabulary[token] for token in "nÃ©")]
