"""The two halves of a ComfyUI CLIP for an LLM: tokenizer and text model."""

import json
import logging
import re
from dataclasses import asdict
from typing import Any

import comfy.model_management
import comfy.ops
import torch

from ....nextdit.encoders.llm.model import LanguageModel
from ....nextdit.encoders.llm.tokenizer import PromptTokenizer, SpecialTokens, parse_tokenizer
from ..host.progress import tell

NAME = "llm"
WEIGHTS = f"{NAME}.transformer."
CONFIG, TOKENIZER, OPTIONS = f"{NAME}.config_json", f"{NAME}.tokenizer_json", f"{NAME}.options_json"
EMBEDDING = re.compile(r"(?:^|\s)embedding:\S")


def to_tensor(text: str) -> torch.Tensor:
    """Return text as a uint8 tensor, the only form in which a checkpoint file can hold it."""
    return torch.frombuffer(bytearray(text.encode("utf-8")), dtype=torch.uint8)


def to_text(tensor: torch.Tensor) -> str:
    """Undo `to_tensor`."""
    return bytes(tensor.cpu().numpy()).decode("utf-8")


class LLMTokenizer:
    """Prompts → tokens as ComfyUI wants them: {"llm": [[(id, 1.0), …]]}.

    `config` (the LLM's config.json) and `layer` are kept only so that `state_dict` can rebuild the whole CLIP.
    """

    def __init__(self, prompts: PromptTokenizer, config: dict[str, Any], layer: int):
        self.prompts, self.config, self.layer = prompts, config, layer

    @classmethod
    def from_checkpoint(cls, embedding_directory=None, tokenizer_data: dict[str, torch.Tensor] | None = None):
        """Rebuild from the tensors of `state_dict`; the signature is the one ComfyUI calls."""
        data = tokenizer_data or {}
        options = json.loads(to_text(data[OPTIONS]))
        layer, special = options.pop("layer"), SpecialTokens(**options.pop("special"))
        prompts = PromptTokenizer(parse_tokenizer(to_text(data[TOKENIZER])), special, **options)
        return cls(prompts, json.loads(to_text(data[CONFIG])), layer)

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **kwargs) -> dict[str, list]:
        r"""Tokenize a prompt. Parentheses and weights are text, as for ComfyUI's Gemma-3; `\(` means (."""
        if EMBEDDING.search(text):
            logging.warning("embedding: (textual inversion) does not exist for LLM text encoders; read as plain text.")
        encoding = self.prompts.encode(text.replace("\\(", "(").replace("\\)", ")"))
        if encoding.cut:
            text = (
                f"prompt cut by {encoding.cut} of {encoding.cut + self.prompts.room} tokens: raise max_tokens of "
                "the text encoder's loader to keep them"
            )
            logging.warning(text)
            tell(text)
        start = len(self.prompts.head)
        section: list[tuple] = [(number, 1.0) for number in encoding.ids]
        if return_word_ids:  # 0 is for special tokens; the whole prompt is one word, as it is tokenized in one piece
            section = [(*pair, int(place >= start)) for place, pair in enumerate(section)]
        return {NAME: [section]}

    def untokenize(self, pairs: list[tuple]) -> list[tuple[tuple, str]]:
        """Pair each token with its text."""
        return [(pair, self.prompts.tokenizer.id_to_token(pair[0]) or "") for pair in pairs]

    def decode(self, token_ids: list[int], skip_special_tokens: bool = True) -> str:
        """Return the text of token ids."""
        return self.prompts.tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return everything but the weights that rebuilds this CLIP from one file."""
        prompts = self.prompts
        special = asdict(prompts.special)
        options = {"layer": self.layer, "max_tokens": prompts.max_tokens, "eos": prompts.eos, "special": special}
        texts = {CONFIG: json.dumps(self.config), TOKENIZER: prompts.tokenizer.to_str(), OPTIONS: json.dumps(options)}
        return {key: to_tensor(text) for key, text in texts.items()}


class HostedLLM(LanguageModel):
    """An LLM whose embedding ComfyUI may leave in RAM or on the disk, since only the rows needed are looked up there.

    Without these marks core takes the table for one of the small modules that always go into VRAM.
    """

    def offload_embedding(self) -> None:
        """Mark the embedding as core marks the layers that cast their weights at use."""
        table = self.embedding
        table.comfy_cast_weights, table.bias = True, None
        table.weight_function, table.bias_function = [], []

    def table(self) -> torch.Tensor:
        """Return the embedding's matrix with the patches (LoRA) that core leaves to the layers to apply."""
        weight = self.embedding.weight
        for patch in (getattr(self.embedding, "weight_lowvram_function", None), *self.embedding.weight_function):
            weight = weight if patch is None else patch(weight.clone())
        return weight


class LLMTextModel(torch.nn.Module):
    """The `cond_stage_model` of a CLIP: features of one hidden layer, computed in fp32 like ComfyUI's own encoders.

    Transformers' model sits in a plain container: its `device` property has no setter, which ModelPatcher needs.
    `weight_dtype` is that of matrices (Linear, experts), `rest_dtype` everything else's; `dtype` is ComfyUI's guess
    and not used.
    """

    def __init__(
        self, device="cpu", dtype=None, model_options=None, *, config, layer, weight_dtype, rest_dtype, source
    ):
        super().__init__()
        operations = (model_options or {}).get("custom_operations") or comfy.ops.manual_cast
        try:
            llm = HostedLLM(config, operations=operations, dtype=rest_dtype, weight_dtype=weight_dtype)
            llm.depth(layer)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        llm.materialize(device)
        llm.offload_embedding()
        self.llm = torch.nn.ModuleDict({"transformer": llm})
        self.dtypes = {weight_dtype, rest_dtype}
        self.default_layer, self.source = layer, source
        self.reset_clip_options()

    @property
    def transformer(self) -> LanguageModel:
        return self.llm["transformer"]

    def reset_clip_options(self) -> None:
        """Go back to the loader's layer; ComfyUI calls this before every encoding."""
        self.layer, self.execution_device = self.default_layer, None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """Take `layer` (CLIP Set Last Layer: -1 is the last, after the final norm) and `execution_device`."""
        if options.get("layer") is not None:
            self.transformer.depth(options["layer"])
            self.layer = options["layer"]
        self.execution_device = options.get("execution_device", self.execution_device)

    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[torch.Tensor, None, dict[str, torch.Tensor]]:
        """Encode sections of (id, weight) pairs: features (1, L, D), no pooled output, attention_mask (1, L)."""
        device = self.execution_device or self.transformer.embedding.weight.device
        self._settle(device)
        parts = []
        for section in tokens[NAME]:
            ids = torch.tensor([[int(pair[0]) for pair in section]])
            parts.append(self.transformer(ids, torch.ones_like(ids), self.layer, device=device, dtype=torch.float32))
        features = torch.cat(parts, dim=1).to(comfy.model_management.intermediate_device())
        mask = torch.ones(features.shape[:2], dtype=torch.long, device=features.device)
        return features, None, {"attention_mask": mask}

    def _settle(self, device: torch.device) -> None:
        # A partial load leaves modules without ComfyUI's casts behind. Their parameters (norms, experts) are cast and
        # moved at use, the embedding's rows are looked up where it lies; buffers, such as rotary tables, are tiny.
        for leaf in self.transformer.model.modules():
            if leaf is self.transformer.embedding:
                continue
            for name, buffer in list(leaf.named_buffers(recurse=False)):
                setattr(leaf, name, buffer.to(device))

    def memory_estimation_function(self, tokens: dict[str, list], device=None) -> int:
        """Bytes that encoding takes besides the weights: fp32 activations, the mask and one Linear cast to fp32."""
        sizes = self.transformer.sizes
        length = max((len(section) for section in tokens.get(NAME, [])), default=1)
        activations = length * (8 * sizes.width + 3 * sizes.inner)
        attention = 2 * sizes.heads * length * length
        return 4 * (activations + attention + max(2 * sizes.width * sizes.inner, self.transformer.largest_cast))

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Load the weights of a whole-CLIP state dict, always strictly; tokenizer tensors are not this module's."""
        weights = {key[len(WEIGHTS) :]: value for key, value in state_dict.items() if key.startswith(WEIGHTS)}
        self.transformer.load(weights, self.source, assign=assign)
        return [], []

    load_sd = load_state_dict
