"""Which LLMs can be text encoders: config.json → a transformers config, or in words why not; older names → ours.

Qwen (first series) and InternLM came with code of their own. Their arithmetic is that of transformers' Qwen2 and LLaMA,
so those are built, and only names and fused matrices differ.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...files import StateDict

STATE_SPACE = {"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"}
NOT_SETTINGS = ("model_type", "dtype", "torch_dtype", "auto_map", "architectures", "transformers_version")
OTHER_SENSES = re.compile("vision|audio|image|vq|text|encoder|decoder|thinker|talker")


@dataclass(frozen=True)
class Family:
    """An LLM as transformers builds it: its kind and settings, and what its files need to fit.

    `rename` turns the names of its own code into transformers' and leaves those alone. `context` is the number of
    tokens up to which the arithmetic is the same (None: no limit of ours).
    """

    kind: str
    settings: dict[str, Any]
    rename: Callable[[StateDict], StateDict] = dict
    context: int | None = None


def family(config: dict[str, Any]) -> Family:
    """Recognise the LLM of a config.json; ValueError says why one cannot be loaded."""
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ValueError(
            "config.json has no model_type, expected that of a decoder-only LLM, such as gemma, llama, qwen2 or "
            "mistral; use the config.json from the model's own repository"
        )
    check_kind(kind, config)
    # The weights are cast on loading; a dtype here would round the model's buffers.
    settings = {key: plain_floats(value) for key, value in config.items() if key not in NOT_SETTINGS}
    try:
        return OWN_CODE[kind](settings) if kind in OWN_CODE else Family(kind, settings)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(
            f"config.json of model_type {kind!r} lacks or distorts a setting ({error!r}); "
            "use the config.json from the model's own repository"
        ) from error


def check_kind(kind: str, config: dict[str, Any]) -> None:
    """Raise ValueError for what is no decoder-only LLM, needs code that is not in transformers, or is quantized."""
    from transformers.models.auto import modeling_auto

    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    seq_to_seq = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    if kind not in causal and kind not in OWN_CODE:
        if config.get("auto_map"):
            raise ValueError(
                f"model_type {kind!r} needs code from its repository (auto_map), which is never run here; "
                "use a version of the model that transformers has built in, or a conversion to LLaMA's layout"
            )
        raise ValueError(
            f"model_type {kind!r} is not a decoder-only LLM that the installed transformers knows, "
            "expected one such as gemma, llama, qwen2 or mistral; for a newer family, update transformers"
        )
    if "text_config" in config:
        raise ValueError(f"model_type {kind!r} takes images as well as text; use a text-only LLM of the family")
    what = None
    if kind in masked or kind in seq_to_seq or kind.startswith("bert") or config.get("is_encoder_decoder"):
        what = "an encoder, or an encoder and a decoder"
    elif kind in STATE_SPACE:
        what = "a state-space or recurrent model without attention"
    if what:
        raise ValueError(
            f"model_type {kind!r} is {what}, expected a decoder-only LLM such as gemma, llama, qwen2 or mistral"
        )
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "unknown") if isinstance(quantized, dict) else "unknown"
        raise ValueError(
            f"the weights are quantized ({method}); use the original weights (or those of a bf16 version), and fp8 as "
            "weight dtype to save memory"
        )


def build_config(family: Family) -> Any:
    """Make the transformers config of a family; ValueError if a setting is wrong or it is no text-only LLM."""
    from transformers import AutoConfig

    try:
        built = AutoConfig.for_model(family.kind, **family.settings)
    except Exception as error:  # every config checks its settings in its own way
        raise ValueError(
            f"config.json of model_type {family.kind!r} has a setting that transformers does not take: "
            f"{' '.join(str(error).split())[:300]}; use the config.json from the model's own repository"
        ) from error
    other = [name for name in getattr(built, "sub_configs", {}) if OTHER_SENSES.search(name)]
    if other or getattr(built, "is_encoder_decoder", False):
        raise ValueError(
            f"model_type {family.kind!r} has parts for more than text ({', '.join(other) or 'an encoder'}); "
            "use a text-only, decoder-only LLM"
        )
    for name in ("num_hidden_layers", "hidden_size", "num_attention_heads"):
        if not isinstance(getattr(built, name, None), int):
            raise ValueError(
                f"model_type {family.kind!r} has no single {name}: it is no LLM of equal layers with attention, "
                "expected a decoder-only LLM such as gemma, llama, qwen2 or mistral"
            )
    return built


def plain_floats(value: Any) -> Any:
    """Return a setting with transformers' spelling of infinities, {"__float__": "Infinity"}, as numbers."""
    if isinstance(value, dict):
        if set(value) == {"__float__"}:
            return float(value["__float__"])
        return {key: plain_floats(item) for key, item in value.items()}
    return [plain_floats(item) for item in value] if isinstance(value, list) else value


def renamed(table: dict[str, str], split: Callable[[str, Tensor], StateDict | None]) -> Callable:
    """Return a function that renames keys by a table of patterns, after `split` has had its choice of matrices."""
    patterns = [(re.compile(pattern), new) for pattern, new in table.items()]

    def rename(weights: StateDict) -> StateDict:
        found: StateDict = {}
        for key, value in weights.items():
            parts = split(key, value)
            for name, tensor in ({key: value} if parts is None else parts).items():
                for pattern, new in patterns:
                    name = pattern.sub(new, name)
                found[name] = tensor
        return found

    return rename


QWEN_SETTINGS = {"kv_channels", "layer_norm_epsilon", "no_bias", "rotary_emb_base", "seq_length"}
QWEN_NAMES = {
    r"^(transformer\.)?wte\.": "embed_tokens.",
    r"^(transformer\.)?ln_f\.": "norm.",
    r"^(transformer\.)?h\.(\d+)\.": r"layers.\2.",
    r"\.ln_1\.": ".input_layernorm.",
    r"\.ln_2\.": ".post_attention_layernorm.",
    r"\.attn\.c_proj\.": ".self_attn.o_proj.",
    r"\.attn\.([qkv]_proj)\.": r".self_attn.\1.",
    r"\.mlp\.w1\.": ".mlp.up_proj.",
    r"\.mlp\.w2\.": ".mlp.gate_proj.",
    r"\.mlp\.c_proj\.": ".mlp.down_proj.",
}


def qwen(settings: dict[str, Any]) -> Family:
    """Qwen 1 (arXiv 2309.16609 and its released code) as Qwen2; w1 is the value and w2 the gate of the feed-forward.

    Its scaling of RoPE and attention (dynamic NTK, log n) begins beyond `seq_length` tokens, which is the limit here.
    """
    if not QWEN_SETTINGS & settings.keys():
        raise ValueError(
            "model_type 'qwen' needs code from its repository (auto_map), which is never run here: config.json has "
            f"none of Qwen 1's settings ({', '.join(sorted(QWEN_SETTINGS))}); use Qwen 1 or Qwen1.5 as released"
        )
    width, heads = settings["hidden_size"], settings["num_attention_heads"]
    odd = {
        "kv_channels": (settings.get("kv_channels", width // heads), width // heads),
        "rotary_pct": (settings.get("rotary_pct", 1.0), 1.0),
        "no_bias": (settings.get("no_bias", True), True),
    }
    for name, (got, expected) in odd.items():
        if got != expected:
            raise ValueError(f"Qwen with {name} {got} is not supported, expected {expected} as in Qwen's own releases")
    context = settings.get("seq_length", settings.get("max_position_embeddings", 8192))
    own = {
        "vocab_size": settings["vocab_size"],
        "hidden_size": width,
        "intermediate_size": settings["intermediate_size"] // 2,  # the sum of both halves
        "num_hidden_layers": settings["num_hidden_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "rms_norm_eps": settings.get("layer_norm_epsilon", 1e-6),
        "rope_theta": float(settings.get("rotary_emb_base", 10000)),
        "max_position_embeddings": context,
        "tie_word_embeddings": False,
    }

    def split(key: str, value: Tensor) -> StateDict | None:
        if ".attn.c_attn." not in key:
            return None
        names = [key.replace("c_attn", part) for part in ("q_proj", "k_proj", "v_proj")]
        # a damaged matrix may have fewer parts: those that are missing are named where the weights are checked
        return {name: part.clone() for name, part in zip(names, value.chunk(3), strict=False)}

    return Family("qwen2", own, renamed(QWEN_NAMES, split), context)


INTERNLM2_NAMES = {
    r"^((model\.)?)tok_embeddings\.": r"\1embed_tokens.",
    r"^output\.": "lm_head.",
    r"\.attention\.wo\.": ".self_attn.o_proj.",
    r"\.attention\.([qkv]_proj)\.": r".self_attn.\1.",
    r"\.attention_norm\.": ".input_layernorm.",
    r"\.ffn_norm\.": ".post_attention_layernorm.",
    r"\.feed_forward\.w1\.": ".mlp.gate_proj.",
    r"\.feed_forward\.w3\.": ".mlp.up_proj.",
    r"\.feed_forward\.w2\.": ".mlp.down_proj.",
}


def internlm2(settings: dict[str, Any]) -> Family:
    """InternLM2 (arXiv 2403.17297 and its released code) as LLaMA.

    wqkv holds, for each key head, its queries' rows, then the key's, then the value's. The scalings of RoPE, linear and
    dynamic NTK, are LLaMA's.
    """
    heads, pairs = settings["num_attention_heads"], settings.get("num_key_value_heads")
    pairs = heads if pairs is None else pairs
    size = settings["hidden_size"] // heads
    own = {key: value for key, value in settings.items() if key not in ("bias", "attn_implementation")}
    own |= {"attention_bias": bool(settings.get("bias", False)), "num_key_value_heads": pairs}

    def split(key: str, value: Tensor) -> StateDict | None:
        rows = (pairs, heads // pairs + 2, size)
        if ".attention.wqkv." not in key or value.shape[0] != rows[0] * rows[1] * rows[2]:
            return None  # of the wrong size: named with the keys that do not fit
        blocks = value.unflatten(0, rows)
        parts = {"q_proj": blocks[:, :-2].flatten(0, 2), "k_proj": blocks[:, -2].flatten(0, 1)}
        parts["v_proj"] = blocks[:, -1].flatten(0, 1)
        return {key.replace("wqkv", name): part.clone() for name, part in parts.items()}

    return Family("llama", own, renamed(INTERNLM2_NAMES, split))


def internlm(settings: dict[str, Any]) -> Family:
    """InternLM as LLaMA with biases on all four projections of the attention (its released code), and LLaMA's names."""
    rotary = settings.get("rotary") or {}
    own = {key: value for key, value in settings.items() if key not in ("bias", "rotary", "attn_implementation")}
    own["attention_bias"] = settings.get("bias", True)
    if "base" in rotary:
        own["rope_theta"] = float(rotary["base"])
    if rotary.get("type") == "dynamic":
        own["rope_scaling"] = {"rope_type": "dynamic", "factor": float(rotary.get("scaling_factor", 1.0))}
    return Family("llama", own)


OWN_CODE = {"qwen": qwen, "internlm": internlm, "internlm2": internlm2}
