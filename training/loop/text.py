"""Features of captions for training: each encoded once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nextdit.text import TextEncoder
from .trainer import encode


class CachedTexts:
    """Features of prompts, each encoded once: captions are few and the text encoder is frozen.

    `together` encodes those of a batch at once, for GPUs; to rounding, features then depend on the others of the batch.
    Forgets all when more than `limit` prompts are known.
    """

    def __init__(self, encoder: TextEncoder, device: torch.device, together: bool = False, limit: int = 100_000):
        self.encoder, self.device, self.together, self.limit = encoder, device, together, limit
        self.known: dict[str, list[Tensor]] = {}

    def __call__(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Return features (B, L, D) and mask (B, L), as `encode` does."""
        if len(self.known) > self.limit:
            self.known = {}
        new = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self.known))
        for some in [new] if self.together and new else [[prompt] for prompt in new]:
            rows = zip(some, *encode(self.encoder, some, self.device), strict=True)
            self.known |= {prompt: row for prompt, *row in rows}
        found = [self.known[prompt] for prompt in prompts]
        longest = max(len(mask) for _, mask in found)
        whole = all(len(mask) == longest for _, mask in found)  # to pad by nothing takes as long as to pad
        features = [x if whole else F.pad(x, (0, 0, 0, longest - len(x))) for x, _ in found]
        masks = [mask if whole else F.pad(mask, (0, longest - len(mask))) for _, mask in found]
        return torch.stack(features), torch.stack(masks)
