"""Features of captions for training: each encoded once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit.text import TextEncoder
from .trainer import encode


class CachedTexts:
    """Features of prompts, each encoded once: captions are few and the text encoder is frozen."""

    def __init__(self, encoder: TextEncoder, device: torch.device):
        self.encoder, self.device = encoder, device
        self.known: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Return features (B, L, D) and mask (B, L), as `encode` does."""
        for prompt in prompts:
            if prompt not in self.known:
                text, text_mask = encode(self.encoder, [prompt], self.device)
                self.known[prompt] = text[0], text_mask[0]
        found = [self.known[prompt] for prompt in prompts]
        longest = max(len(mask) for _, mask in found)
        features = [F.pad(x, (0, 0, 0, longest - len(x))) for x, _ in found]
        return torch.stack(features), torch.stack([F.pad(mask, (0, longest - len(mask))) for _, mask in found])
