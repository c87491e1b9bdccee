"""Text encoders of the released audio models: T5 for music; for sounds CLAP's BERT beside it (paper equation 5).

Weights are the checkpoint's own, in transformers' modules. Every prompt is 77 tokens of each, pads included, and no
mask tells them apart (reference code).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...captions import prompt_of
from ...family import Shapes
from .autoencoder import check_weights

LENGTH = 77
T5, CLAP = ("t5_transformer.", "transformer."), "caption_encoder."
"""Where the checkpoints keep T5, for sounds and for music, and CLAP's half for text."""
DERIVED = re.compile(r"position_ids$|pooler\.|^(encoder\.embed_tokens|shared)\.weight$")


@dataclass(frozen=True)
class FixedLength:
    """Prompts as LENGTH token ids: `start` and `end` around the words, which are cut, and 0 behind, the pad of both.

    `tokenizer` is a `tokenizers.Tokenizer` or a SentencePieceTokenizer.
    """

    tokenizer: Any
    start: tuple[str, ...]
    end: str

    def __post_init__(self):
        missing = [token for token in (*self.start, self.end) if self.tokenizer.token_to_id(token) is None]
        if missing:
            raise ValueError(f"the tokenizer has no {', '.join(missing)}: use the one that belongs to the text encoder")
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def __call__(self, text: str) -> tuple[list[int], int]:
        """Return the ids of a text, and how many of its tokens are cut."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be tokenized
        words = self.tokenizer.encode(text, add_special_tokens=False).ids
        ids = [self.tokenizer.token_to_id(token) for token in self.start]
        room = LENGTH - len(ids) - 1
        ids += [*words[:room], self.tokenizer.token_to_id(self.end)]
        return ids + [0] * (LENGTH - len(ids)), max(0, len(words) - room)


def t5_tokens(tokenizer: Any) -> FixedLength:
    """Return T5's way with prompts. Raises ValueError if the tokenizer is of another model."""
    return FixedLength(tokenizer, (), "</s>")


def bert_tokens(tokenizer: Any) -> FixedLength:
    """Return BERT's way with prompts. Raises ValueError if the tokenizer is of another model."""
    return FixedLength(tokenizer, ("[CLS]",), "[SEP]")


class Projection(nn.Module):
    """Features (B, L, D) → (B, L, width): LayerNorm of a projection and a second one of it (CLAP, 2022)."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(inputs, width, bias=False), nn.Linear(width, width, bias=False)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear1(x)
        return self.layer_norm(x + self.linear2(F.gelu(x)))


class AudioTextModel(nn.Module):
    """T5's encoder, and CLAP's BERT and projection where weights of these shapes are of both."""

    def __init__(self, shapes: Shapes):
        super().__init__()
        from transformers import BertModel, T5EncoderModel

        self.t5 = T5EncoderModel(t5_config(inner(shapes, "t5.")))
        self.has_clap = any(key.startswith("clap.") for key in shapes)
        if self.has_clap:
            clap = inner(shapes, "clap.")
            base = BertModel(bert_config(inner(clap, "base.")), add_pooling_layer=False)
            width, inputs = clap["projection.linear1.weight"]
            self.clap = nn.ModuleDict({"base": base, "projection": Projection(inputs, width)})

    @property
    def width(self) -> int:
        """Width of the features."""
        return int(self.t5.config.d_model)

    def forward(self, t5_ids: Tensor, clap_ids: Tensor | None = None) -> Tensor:
        """Return features (B, 77 or 154, width) of token ids (B, 77); CLAP's come first."""
        features = self.t5(input_ids=t5_ids).last_hidden_state
        if not self.has_clap:
            return features
        words = self.clap["base"](input_ids=clap_ids).last_hidden_state
        return torch.cat([self.clap["projection"](words), features], dim=1)


def inner(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return what has a prefix, without it."""
    return {key[len(prefix) :]: value for key, value in named.items() if key.startswith(prefix)}


def t5_config(shapes: Shapes) -> Any:
    """Return transformers' config of a T5 encoder with weights of these shapes. KeyError if one is missing."""
    from transformers import T5Config

    attention = "encoder.block.0.layer.0.SelfAttention"
    buckets, heads = shapes[f"{attention}.relative_attention_bias.weight"]
    gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in shapes
    feed_forward = shapes[f"encoder.block.0.layer.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight"][0]
    vocabulary, width = shapes["shared.weight"]
    return T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=shapes[f"{attention}.q.weight"][0] // heads,
        d_ff=feed_forward,
        num_layers=count(shapes, r"encoder\.block\.(\d+)\."),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu" if gated else "relu",
        dropout_rate=0.0,
    )


def bert_config(shapes: Shapes) -> Any:
    """Return transformers' config of a BERT with weights of these shapes. KeyError if one is missing."""
    from transformers import BertConfig

    vocabulary, width = shapes["embeddings.word_embeddings.weight"]
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=count(shapes, r"encoder\.layer\.(\d+)\."),
        num_attention_heads=max(1, width // 64),  # as all of BERT's published sizes
        intermediate_size=shapes["encoder.layer.0.intermediate.dense.weight"][0],
        max_position_embeddings=shapes["embeddings.position_embeddings.weight"][0],
        type_vocab_size=shapes["embeddings.token_type_embeddings.weight"][0],
    )


def count(keys: Iterable[str], pattern: str) -> int:
    return len({m[1] for key in keys if (m := re.match(pattern, key))})


def text_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name a checkpoint's text encoder (without `cond_stage_model.`) as our modules, without what follows from others.

    Raises ValueError if there is no T5 in it.
    """
    prefix = next((prefix for prefix in T5 if any(key.startswith(prefix) for key in weights)), None)
    if prefix is None:
        sample = ", ".join(sorted(weights)[:3]) or "nothing"
        raise ValueError(
            f"the checkpoint has no T5 text encoder (cond_stage_model.{T5[0]}… or {T5[1]}…) but {sample}: use the one "
            "that its authors published, which has all parts in one file"
        )
    t5 = inner(weights, prefix)
    table = next((t5[key] for key in ("shared.weight", "encoder.embed_tokens.weight") if key in t5), None)
    found = {f"t5.{key}": x for key, x in t5.items()} | {f"clap.{key}": x for key, x in inner(weights, CLAP).items()}
    kept = {key: x for key, x in found.items() if not DERIVED.search(key.partition(".")[2])}
    return kept if table is None else kept | {"t5.shared.weight": table}


def build_text_model(weights: Mapping[str, Tensor]) -> AudioTextModel:
    """Return the text encoder of a checkpoint's weights (without `cond_stage_model.`), in their dtype.

    Raises ValueError, naming keys, if something is missing.
    """
    named = text_weights(weights)
    try:
        with torch.device("meta"):
            model = AudioTextModel({key: tuple(x.shape) for key, x in named.items()})
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing from the text encoder: download the checkpoint again") from None
    named |= {"t5.encoder.embed_tokens.weight": named["t5.shared.weight"]}
    check_weights(named, model, "a text encoder of audio models")
    model.load_state_dict(named, assign=True)
    fill_buffers(model)
    return model.eval()


def fill_buffers(model: nn.Module) -> None:
    """Make what transformers' BERT keeps outside of its weights: positions and token types."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                made = torch.arange(buffer.shape[-1]) if name == "position_ids" else torch.zeros(1, dtype=torch.long)
                setattr(module, name, made.expand(buffer.shape).clone())


class AudioTextEncoder:
    """Features of prompts: `encoder(prompts)` → (B, 77 or 154, D) and None, as every token counts.

    With CLAP a prompt is a caption and its structured form, of which what is missing is made (`captions.prompt_of`).
    """

    def __init__(self, model: AudioTextModel, t5: FixedLength, clap: FixedLength | None = None):
        if model.has_clap and clap is None:
            raise ValueError("this text encoder needs BERT's tokenizer beside T5's: give it bert-base-uncased's")
        self.model, self.t5, self.clap = model, t5, clap

    def tokens(self, prompt: str) -> dict[str, tuple[list[int], int]]:
        """Return the token ids of a prompt for T5, and for CLAP where there is one, and how many were cut."""
        if not self.model.has_clap or self.clap is None:
            return {"t5": self.t5(prompt)}
        said = prompt_of(prompt)
        return {"t5": self.t5(said.structured), "clap": self.clap(said.caption)}

    @torch.no_grad()
    def __call__(self, prompts: list[str]) -> tuple[Tensor, None]:
        """Raises ValueError without a prompt."""
        if not prompts:
            raise ValueError("no prompt was given, expected a list of at least one string (it may be empty)")
        device = self.model.t5.shared.weight.device
        tokens = [self.tokens(prompt) for prompt in prompts]
        ids = {name: torch.tensor([each[name][0] for each in tokens], device=device) for name in tokens[0]}
        return self.model(ids["t5"], ids.get("clap")), None
