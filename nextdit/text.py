"""Text encoder: prompts → features and mask, by a decoder-only LLM."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from .encoders.llm.files import find_llm
from .encoders.llm.model import LanguageModel
from .encoders.llm.tokenizer import PromptTokenizer, load_tokenizer
from .files import FLOATS_OF_8_BITS, float_dtype, read_weights


class TextEncoder:
    """Features of prompts: `encoder(prompts)` → features (B, L, D) and mask (B, L), padded on the right.

    `layer` indexes transformers' `hidden_states`. With `mask_padding` False the LLM sees no mask and pads are
    encoded like words. `tokenizer.batch(prompts)` says how many tokens of each prompt are cut.
    """

    def __init__(self, llm: LanguageModel, tokenizer: PromptTokenizer, *, layer: int = -2, mask_padding: bool = True):
        llm.depth(layer)
        self.llm, self.tokenizer = llm, tokenizer
        self.layer, self.mask_padding = layer, mask_padding

    @property
    def width(self) -> int:
        """Width D of the features."""
        return self.llm.sizes.width

    def __call__(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode prompts: features (B, L, D) in the model's dtype, mask (B, L) of 1 (token) and 0 (padding)."""
        ids, mask, _ = self.tokenizer.batch(prompts)
        device = self.llm.embedding.weight.device
        features = self.llm(ids, mask if self.mask_padding else None, self.layer)
        return features, mask.to(device)


def load_text_encoder(
    folder: str | Path,
    *,
    layer: int = -2,
    max_tokens: int = 256,
    eos: bool = False,
    mask_padding: bool = True,
    dtype: torch.dtype | None = None,
    device: Any = "cpu",
    operations: Any = nn,
) -> TextEncoder:
    """Load an LLM: a folder (Hugging Face, or diffusers with text_encoder/ and tokenizer/), or a file with all of it.

    The defaults are Lumina-Next's (reference code): Gemma-2B's second-to-last layer, BOS, no EOS, 256 tokens.
    Lumina-T2I's LLaMA wants `layer=-1, eos=True, mask_padding=False`. `dtype` None keeps the file's (fp8 becomes bf16).
    Raises FileNotFoundError for missing files, ValueError for what cannot be read or does not fit.
    """
    found = find_llm(folder)
    tokenizer = load_tokenizer(found.tokenizer, found.config, max_tokens=max_tokens, eos=eos)
    weights = read_weights(found.weights)
    if dtype is None:
        dtype = float_dtype(weights)
        dtype = torch.bfloat16 if dtype in FLOATS_OF_8_BITS else dtype
    try:
        llm = LanguageModel(found.config, operations=operations, dtype=dtype)
    except ValueError as error:
        raise ValueError(f"{found.path}: {error}") from error
    llm.load(weights, str(found.path))
    llm.to(device)
    return TextEncoder(llm, tokenizer, layer=layer, mask_padding=mask_padding)
