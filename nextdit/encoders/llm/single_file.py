"""An LLM in one file, its tokenizer inside as a tensor of bytes: what ComfyUI's own text encoder files are.

Such a file has no config.json. It may carry one in its metadata, under "config"; else the architecture is told by the
names and shapes of the weights, for the families whose published settings leave nothing open.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files import read_header, read_metadata, read_tensor
from ...text_files import parse_json

TOKENIZERS = ("tokenizer_json", "spiece_model")
QUERIES = re.compile(r"(?:^|.*\.)layers\.0\.self_attn\.q_proj\.weight$")
VOCABULARY = 256000  # Gemma's and Gemma 2's
GEMMA: dict[str, Any] = {"head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192}
GEMMA |= {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
# Width → settings that no shape tells (config.json of google/gemma-2-2b, -9b and -27b).
GEMMA_2 = {
    2304: {"head_dim": 256, "query_pre_attn_scalar": 256},
    3584: {"head_dim": 256, "query_pre_attn_scalar": 256},
    4608: {"head_dim": 128, "query_pre_attn_scalar": 144},
}
Shapes = Mapping[str, tuple[int, ...]]


def is_single_file(path: Path) -> bool:
    """Whether a file holds a decoder-only LLM together with its tokenizer; only its header is read."""
    if path.suffix != ".safetensors":
        return False
    try:
        keys = read_header(path).keys()
    except (OSError, ValueError):
        return False
    return any(name in keys for name in TOKENIZERS) and any(QUERIES.match(key) for key in keys)


def config_of(path: Path) -> dict[str, Any]:
    """Return the content of the config.json that belongs to a file; ValueError, naming it, where nothing tells."""
    shapes = {key: shape for key, (_, shape) in read_header(path).items()}
    if not any(name in shapes for name in TOKENIZERS):
        raise ValueError(
            f"{path} has no tokenizer inside (a tensor {' or '.join(TOKENIZERS)}): use the model's folder with "
            "config.json, tokenizer and weights"
        )
    text = read_metadata(path).get("config")
    if text is not None:
        return parse_json(text, f"the metadata of {path}", "a config.json as config")
    try:
        return infer(shapes)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}; use the model's folder with config.json, tokenizer and weights, or write its "
            "config.json into the file's metadata as config"
        ) from error


def infer(shapes: Shapes) -> dict[str, Any]:
    """Return the config of a Gemma or Gemma 2 from the shapes of its weights; ValueError for other families."""
    prefix = next((key.removesuffix("layers.0.self_attn.q_proj.weight") for key in shapes if QUERIES.match(key)), None)
    layer = {} if prefix is None else _under(shapes, f"{prefix}layers.0.")
    vocabulary, width = shapes.get(f"{prefix}embed_tokens.weight", (0, 0))
    plain = not any(name.endswith((".bias", "q_norm.weight")) for name in layer)
    if vocabulary != VOCABULARY or not plain:
        raise ValueError("its weights alone do not tell which LLM it is (only those of Gemma and Gemma 2 do)")
    second = "pre_feedforward_layernorm.weight" in layer
    if second and width not in GEMMA_2:
        raise ValueError(f"no Gemma 2 of width {width} is known (known: {', '.join(map(str, GEMMA_2))})")
    settings: dict[str, Any] = {**GEMMA, **(GEMMA_2[width] if second else {})}
    heads, kv_heads = (layer[f"self_attn.{name}_proj.weight"][0] // settings["head_dim"] for name in ("q", "k"))
    return {
        "model_type": "gemma2" if second else "gemma",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": layer["mlp.gate_proj.weight"][0],
        "num_hidden_layers": len({key for key in shapes if key.endswith(".self_attn.q_proj.weight")}),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        **settings,
    }


def read_tokenizer(path: Path) -> tuple[str, bytes]:
    """Return the name, of TOKENIZERS, and the bytes of the tokenizer inside a file."""
    header = read_header(path)
    name = next(name for name in TOKENIZERS if name in header)
    return name, bytes(read_tensor(path, name).numpy())


def _under(shapes: Shapes, prefix: str) -> Shapes:
    return {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
