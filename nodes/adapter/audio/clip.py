"""T5, and CLAP beside it, as a CLIP for CLIP Text Encode."""

import logging
from typing import Any

import comfy.model_management
import comfy.sd
import torch
from comfy.supported_models_base import ClipTarget

from ....nextdit.encoders.audio.text import LENGTH, AudioTextEncoder, AudioTextModel
from ..host.progress import tell

START = {"t5": 0, "clap": 1}
"""How many special tokens come before the words."""


class AudioTokenizer:
    """Prompts → tokens as ComfyUI wants them: {"t5": [[(id, 1.0), …]], "clap": …}. Weights in brackets are text."""

    def __init__(self, encoder: AudioTextEncoder):
        self.encoder = encoder

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **kwargs) -> dict[str, list]:
        r"""Tokenize a prompt, which may hold a structured caption; `\(` means (."""
        tokens = self.encoder.tokens(text.replace("\\(", "(").replace("\\)", ")"))
        cut = max(cut for _, cut in tokens.values())
        if cut:
            said = f"prompt cut by {cut} tokens: the text encoder takes {LENGTH}"
            logging.warning(said)
            tell(said)
        sections = {}
        for name, (ids, _) in tokens.items():
            pairs: list[tuple] = [(number, 1.0) for number in ids]
            if return_word_ids:
                pairs = [(*pair, int(place >= START[name])) for place, pair in enumerate(pairs)]
            sections[name] = [pairs]
        return sections

    def untokenize(self, pairs: list[tuple]) -> list[tuple[tuple, str]]:
        """Pair each of T5's tokens with its text."""
        return [(pair, self.encoder.t5.tokenizer.id_to_token(pair[0]) or "") for pair in pairs]

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}


class AudioClipModel(torch.nn.Module):
    """The `cond_stage_model` of a CLIP around an AudioTextModel, in float32."""

    disable_offload = True  # transformers' layers do not cast their weights at use

    def __init__(self, device="cpu", dtype=None, model_options=None, *, text: AudioTextModel):
        super().__init__()
        self.text = text.requires_grad_(False).to(device)
        self.dtypes = {torch.float32}
        self.reset_clip_options()

    def reset_clip_options(self) -> None:
        self.execution_device = None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        self.execution_device = options.get("execution_device", self.execution_device)

    @torch.no_grad()
    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[torch.Tensor, None, dict]:
        """Encode sections of (id, weight) pairs: features (1, 77 or 154, D), no pooled output, no mask."""
        device = self.execution_device or self.text.t5.shared.weight.device
        ids = {
            name: torch.tensor([[int(pair[0]) for pair in section] for section in sections], device=device)
            for name, sections in tokens.items()
        }
        features = self.text(ids["t5"], ids.get("clap"))
        return features.flatten(0, 1)[None].to(comfy.model_management.intermediate_device()), None, {}

    def load_sd(self, state_dict, *args, **kwargs) -> tuple[list, list]:
        """Do nothing: the weights came with the model."""
        return [], []


def clip_of(encoder: AudioTextEncoder) -> comfy.sd.CLIP:
    """Return a text encoder as a CLIP."""
    target = ClipTarget(lambda **_: AudioTokenizer(encoder), AudioClipModel)
    target.params = {"text": encoder.model}
    count = sum(x.numel() for x in encoder.model.parameters())
    return comfy.sd.CLIP(target, parameters=count, tokenizer_data={}, model_options={"dtype": torch.float32})


class NoClip:
    """What stands for the CLIP of a file that has none, and says so where it is used."""

    def __init__(self, why: str):
        self.why = why

    def tokenize(self, *_, **__):
        """Raise ValueError."""
        raise ValueError(self.why)

    clone = clip_layer = tokenize
