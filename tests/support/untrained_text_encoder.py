"""Write the untrained text encoder: a tiny Gemma with random weights and a byte-level tokenizer."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")  # in the order of Gemma's ids
CONFIG = {
    "architectures": ["GemmaForCausalLM"],
    "model_type": "gemma",
    "vocab_size": len(SPECIAL) + 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "torch_dtype": "bfloat16",
}


def write(folder: str | Path, seed: int = 0) -> Path:
    """Write config.json, tokenizer and bf16 weights in Hugging Face layout; the same seed gives the same bytes."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    tokens = {f"{name.strip('<>')}_token": name for name in SPECIAL}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "model_max_length": 8192, **tokens}
    for name, content in (("config.json", CONFIG), ("tokenizer_config.json", settings)):
        (path / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    byte_tokenizer().save(str(path / "tokenizer.json"), pretty=False)
    save_file(random_weights(seed), path / "model.safetensors", metadata={"format": "pt"})
    return path


def byte_tokenizer() -> Tokenizer:
    """Return a tokenizer with one token a UTF-8 byte, so that it has every language, and BOS first."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return tokenizer


def random_weights(seed: int) -> dict[str, torch.Tensor]:
    """Return Gemma's weights, each row of unit variance gain, so that features differ between prompts."""
    generator = torch.Generator().manual_seed(seed)
    width, inner, head = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    queries, keys = head * CONFIG["num_attention_heads"], head * CONFIG["num_key_value_heads"]
    linear = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }

    def draw(rows: int, columns: int) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=generator) * columns**-0.5).bfloat16()

    norm = torch.zeros(width, dtype=torch.bfloat16)  # Gemma multiplies by 1 + weight
    weights = {"model.embed_tokens.weight": draw(CONFIG["vocab_size"], width), "model.norm.weight": norm.clone()}
    for layer in range(CONFIG["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name, shape in linear.items():
            weights[f"{prefix}.{name}.weight"] = draw(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{prefix}.{name}.weight"] = norm.clone()
    return weights
