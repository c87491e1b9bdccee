"""An LLM in one file with its tokenizer inside, as ComfyUI's own text encoders are, equals its folder."""

import io
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit.encoders.llm.files import find_llm
from lumina_next.nextdit.encoders.llm.single_file import infer, is_single_file
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.tests.support.untrained_text_encoder import CONFIG, write

PROMPTS = ["a red fox in the snow", "", "雪の中の狐"]


def as_bytes(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("llm"), seed=3)


def single(folder, target, name="tokenizer_json", content=None, config=CONFIG, **changes):
    """Write the folder's LLM as one file."""
    content = (folder / "tokenizer.json").read_bytes() if content is None else content
    weights = load_file(folder / "model.safetensors") | {name: as_bytes(content)} | changes
    save_file(weights, target, metadata=None if config is None else {"config": json.dumps(config)})
    return target


@pytest.mark.parametrize("prefix", ["", "model."])
def test_the_features_are_the_folders(folder, tmp_path, prefix):
    file = single(folder, tmp_path / "llm.safetensors")
    if not prefix:  # files of the bare model
        weights = {key.removeprefix("model."): value for key, value in load_file(file).items()}
        save_file(weights, file, metadata={"config": json.dumps(CONFIG)})
    assert is_single_file(file)
    ours, theirs = load_text_encoder(file)(PROMPTS), load_text_encoder(folder)(PROMPTS)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_a_sentencepiece_model_inside(folder, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    model, lines = io.BytesIO(), ["a red fox in the snow", "a blue boat on the sea", "two birds"]
    options = {"vocab_size": 60, "hard_vocab_limit": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
    file = single(folder, tmp_path / "llm.safetensors", "spiece_model", model.getvalue())
    ids, mask, _ = load_text_encoder(file).tokenizer.batch(["a red fox", ""])
    expected = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).encode("a red fox")
    assert ids[0].tolist() == [2, *expected] and ids[1, :1].tolist() == [2] and mask[1].sum() == 1


GEMMA_2B = {  # of google/gemma-2b's config.json
    **{"model_type": "gemma", "vocab_size": 256000, "hidden_size": 2048, "intermediate_size": 16384},
    **{"num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256},
    **{"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 8192},
    **{"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
}
GEMMA_2_2B = GEMMA_2B | {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216}
GEMMA_2_2B |= {"num_hidden_layers": 26, "num_key_value_heads": 4, "query_pre_attn_scalar": 256}


def shapes_of(config: dict, *norms: str) -> dict[str, tuple[int, ...]]:
    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    linear = {"q": (queries, width), "k": (keys, width), "v": (keys, width), "o": (width, queries)}
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}."
        shapes |= {f"{layer}self_attn.{name}_proj.weight": shape for name, shape in linear.items()}
        shapes |= {f"{layer}mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        shapes[f"{layer}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{layer}{norm}.weight": (width,) for norm in ("input_layernorm", *norms)}
    return shapes


def test_gemma_tells_its_config_by_its_shapes():
    assert infer(shapes_of(GEMMA_2B, "post_attention_layernorm")).items() >= GEMMA_2B.items()
    norms = ("post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    assert infer(shapes_of(GEMMA_2_2B, *norms)).items() >= GEMMA_2_2B.items()


def test_a_file_whose_shapes_tell_its_config(folder, tmp_path):
    """Two layers of Gemma's own head width and vocabulary, so that nothing but the shapes is needed."""
    sizes = {"vocab_size": 256000, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2}
    config = GEMMA_2B | sizes | {"num_attention_heads": 1, "num_key_value_heads": 1}
    generator = torch.Generator().manual_seed(1)
    shapes = shapes_of(config, "post_attention_layernorm")
    weights = {key: torch.randn(shape, generator=generator).bfloat16() * 0.3 for key, shape in shapes.items()}
    tokenizer = (folder / "tokenizer.json").read_bytes()
    save_file(weights | {"tokenizer_json": as_bytes(tokenizer)}, tmp_path / "gemma.safetensors")
    whole = shutil.copytree(folder, tmp_path / "folder")
    (whole / "config.json").write_text(json.dumps(config))
    save_file(weights, whole / "model.safetensors")
    ours, theirs = load_text_encoder(tmp_path / "gemma.safetensors"), load_text_encoder(whole)
    assert torch.equal(ours(PROMPTS)[0], theirs(PROMPTS)[0])


def test_what_cannot_be_told_is_said(folder, tmp_path):
    with pytest.raises(ValueError, match="llm.safetensors: its weights alone do not tell.*config.json"):
        load_text_encoder(single(folder, tmp_path / "llm.safetensors", config=None))
    with pytest.raises(ValueError, match="has no tokenizer inside.*folder"):
        load_text_encoder(folder / "model.safetensors")
    assert not is_single_file(folder / "model.safetensors")
    with pytest.raises(ValueError, match="tokenizer"):
        load_text_encoder(single(folder, tmp_path / "broken.safetensors", content=b"{"))
    with pytest.raises(ValueError, match="metadata of .*config.json"):
        find_llm(single(folder, tmp_path / "list.safetensors", config=[1]))
