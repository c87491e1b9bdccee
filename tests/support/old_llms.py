"""Small Qwen 1 and InternLM2 folders with random weights, and their arithmetic written out from their papers."""

import base64
import json
import math
import unicodedata
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

QWEN = {
    "model_type": "qwen",
    "architectures": ["QWenLMHeadModel"],
    "auto_map": {"AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel"},
    "hidden_size": 32,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "kv_channels": 8,
    "layer_norm_epsilon": 1e-6,
    "no_bias": True,
    "rotary_emb_base": 5000,
    "rotary_pct": 1.0,
    "seq_length": 64,
    "max_position_embeddings": 64,
    "use_dynamic_ntk": True,
    "use_logn_attn": True,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
INTERNLM2 = {
    "model_type": "internlm2",
    "architectures": ["InternLM2ForCausalLM"],
    "auto_map": {"AutoModel": "modeling_internlm2.InternLM2ForCausalLM"},
    "attn_implementation": "eager",
    "bias": False,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "hidden_act": "silu",
    "hidden_size": 32,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
    "rope_theta": 10000,
    "tie_word_embeddings": False,
    "vocab_size": 260,
}


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(shape, generator=generator) * 0.2 + (len(shape) == 1) for key, shape in shapes.items()}


def qwen_weights(words: int) -> dict[str, Tensor]:
    d, half = QWEN["hidden_size"], QWEN["intermediate_size"] // 2
    shapes = {"transformer.wte.weight": (words, d), "transformer.ln_f.weight": (d,), "lm_head.weight": (words, d)}
    for n in range(QWEN["num_hidden_layers"]):
        h = f"transformer.h.{n}"
        shapes |= {f"{h}.ln_1.weight": (d,), f"{h}.ln_2.weight": (d,), f"{h}.attn.c_proj.weight": (d, d)}
        shapes |= {f"{h}.attn.c_attn.weight": (3 * d, d), f"{h}.attn.c_attn.bias": (3 * d,)}
        shapes |= {
            f"{h}.mlp.w1.weight": (half, d),
            f"{h}.mlp.w2.weight": (half, d),
            f"{h}.mlp.c_proj.weight": (d, half),
        }
    return drawn(shapes)


def internlm2_weights(config: dict) -> dict[str, Tensor]:
    d, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    rows = (config["num_attention_heads"] + 2 * config["num_key_value_heads"]) * d // config["num_attention_heads"]
    shapes = {"model.tok_embeddings.weight": (words, d), "model.norm.weight": (d,), "output.weight": (words, d)}
    for n in range(config["num_hidden_layers"]):
        h = f"model.layers.{n}"
        shapes |= {f"{h}.attention_norm.weight": (d,), f"{h}.ffn_norm.weight": (d,)}
        shapes |= {f"{h}.attention.wqkv.weight": (rows, d), f"{h}.attention.wo.weight": (d, d)}
        shapes |= {f"{h}.feed_forward.w{k}.weight": (inner, d) for k in (1, 3)}
        shapes |= {f"{h}.feed_forward.w2.weight": (d, inner)}
        if config["bias"]:
            shapes |= {f"{h}.attention.wqkv.bias": (rows,), f"{h}.attention.wo.bias": (d,)}
    return drawn(shapes)


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def turned(x: Tensor, base: float) -> Tensor:
    """RoPE (arXiv 2104.09864) on x (heads, tokens, size), a head's two halves being the two parts of its numbers."""
    size = x.shape[-1]
    angles = torch.arange(x.shape[1])[:, None] * base ** (-torch.arange(0, size, 2) / size)
    number = torch.complex(x[..., : size // 2], x[..., size // 2 :]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((number.real, number.imag), dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention; each of the key heads serves the query heads in a row that share it."""
    k, v = (part.repeat_interleave(len(q) // len(k), 0) for part in (k, v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    return (scores.masked_fill(future, -torch.inf).softmax(-1) @ v).transpose(0, 1).flatten(1)


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def qwen_states(w: dict[str, Tensor], ids: list[int], layers: int) -> Tensor:
    """Qwen 1's hidden states (tokens, D) after `layers` layers (arXiv 2309.16609)."""
    x, heads = w["transformer.wte.weight"][ids], QWEN["num_attention_heads"]
    for n in range(layers):
        p = {key.removeprefix(f"transformer.h.{n}."): value for key, value in w.items() if f".h.{n}." in key}
        y = norm(x, p["ln_1.weight"], 1e-6) @ p["attn.c_attn.weight"].T + p["attn.c_attn.bias"]
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in y.split(x.shape[1], -1))
        base = QWEN["rotary_emb_base"]
        x = x + attention(turned(q, base), turned(k, base), v) @ p["attn.c_proj.weight"].T
        y = norm(x, p["ln_2.weight"], 1e-6)
        x = x + (y @ p["mlp.w1.weight"].T * silu(y @ p["mlp.w2.weight"].T)) @ p["mlp.c_proj.weight"].T
    return x


def internlm2_states(w: dict[str, Tensor], ids: list[int], layers: int, config: dict) -> Tensor:
    """InternLM2's hidden states (tokens, D) after `layers` layers (arXiv 2403.17297)."""
    x, eps = w["model.tok_embeddings.weight"][ids], config["rms_norm_eps"]
    heads, pairs = config["num_attention_heads"], config["num_key_value_heads"]
    for n in range(layers):
        p = {key.removeprefix(f"model.layers.{n}."): value for key, value in w.items() if f".layers.{n}." in key}
        y = norm(x, p["attention_norm.weight"], eps) @ p["attention.wqkv.weight"].T + p.get("attention.wqkv.bias", 0)
        groups = [group.chunk(heads // pairs + 2, -1) for group in y.chunk(pairs, -1)]
        q = torch.stack([part for group in groups for part in group[:-2]])
        k, v = (torch.stack([group[place] for group in groups]) for place in (-2, -1))
        base = config["rope_theta"]
        x = (
            x
            + attention(turned(q, base), turned(k, base), v) @ p["attention.wo.weight"].T
            + p.get("attention.wo.bias", 0)
        )
        y = norm(x, p["ffn_norm.weight"], eps)
        gate, up = (y @ p[f"feed_forward.w{k}.weight"].T for k in (1, 3))
        x = x + silu(gate) * up @ p["feed_forward.w2.weight"].T
    return x


def ranks() -> dict[bytes, int]:
    """All bytes, then a few longer tokens, among them pieces of letters beyond ASCII."""
    longer = [
        "he",
        "ll",
        "hell",
        "hello",
        " w",
        " wo",
        "or",
        "ld",
        " world",
        "aa",
        "aaa",
        "aaaa",
        "狐",
        "é",
        "  ",
        "12",
    ]
    tokens = [bytes([byte]) for byte in [*range(33, 256), *range(33)]]
    tokens += [word.encode() for word in longer] + ["狐".encode()[:2], b"'s"]
    return {token: rank for rank, token in enumerate(dict.fromkeys(tokens))}


def tokens_by_rank(text: str, words) -> list[int]:
    """Byte pairs as tiktoken merges them: within each word, the two neighbours whose union has the lowest rank."""
    table, found = ranks(), []
    for word in words(unicodedata.normalize("NFC", text)):
        parts = [bytes([byte]) for byte in word.encode()]
        while pairs := [(table[a + b], at) for at, (a, b) in enumerate(pairwise(parts)) if a + b in table]:
            _, at = min(pairs)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found += [table[part] for part in parts]
    return found


def write_qwen(folder: Path, **changes) -> dict[str, Tensor]:
    """Write a Qwen 1 folder as its repository has it; return the weights."""
    table = ranks()
    weights = qwen_weights(len(table) + 208)
    config = {**QWEN, "vocab_size": len(table) + 208, **changes}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in table.items()]
    (folder / "qwen.tiktoken").write_text("".join(lines), "utf-8")
    settings = {
        "model_max_length": 64,
        "tokenizer_class": "QWenTokenizer",
        "auto_map": {"AutoTokenizer": ["x.Y", None]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    save_file(weights, folder / "model.safetensors")
    return weights


def write_internlm2(folder: Path, **changes) -> dict[str, Tensor]:
    """Write an InternLM2 folder but for its tokenizer; return the weights."""
    config = {**INTERNLM2, **changes}
    weights = internlm2_weights(config)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    save_file(weights, folder / "model.safetensors")
    return weights
