"""Where the image being sampled stands in the one sequence of core's NextDiT.

What is known to be in it: [texts | features of references | references | frames of the image | Ming's references |
padding]. Texts, features, references, and the image with Ming's references are each filled up to a multiple.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .wrappers import token_grid

Conds = Mapping[str, Any]
"""What a call of the network gets beside latent and text: ref_latents, ref_contexts, siglip_feats, ref_frames …"""


@dataclass(frozen=True)
class ImageTokens:
    """The tokens of the image being sampled: `frames` times a grid of (rows, columns), and what is around them.

    `after` are the tokens of references that follow it, `padded` is what image, those and padding take together.
    """

    frames: int
    grid: tuple[int, int]
    after: int
    padded: int

    @property
    def count(self) -> int:
        return self.frames * math.prod(self.grid)


def image_tokens(x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
    """Return the tokens of a latent x (B, C, H, W) or (B, C, F, H, W) in a call of core's NextDiT."""
    grid, frames = token_grid(x, network.patch_size), _frames(x)
    after = sum(_tokens(ref, network) for ref in conds.get("ref_frames") or ())
    return ImageTokens(frames, grid, after, _filled(frames * math.prod(grid) + after, network))


def tokens_before(network: nn.Module, text: Tensor | None, conds: Conds) -> int:
    """Return how many tokens precede the image's in a call with text features (B, L, D): texts and references."""
    refs = conds.get("ref_latents") or ()
    contexts = list(conds.get("ref_contexts") or ()) if refs else []
    contexts += [None] * (len(refs) - len(contexts))
    count = _text_tokens(text, network, conds.get("direct_context"))  # Ming-Image has more text
    count += sum(_text_tokens(context, network) for context in contexts)
    count += sum(_filled(_tokens(ref, network), network) for ref in refs)
    if refs and getattr(network, "siglip_embedder", None) is not None:
        features = [*(conds.get("siglip_feats") or ())][: len(refs)]
        shown = [math.prod(x.shape[1:3]) if x is not None else 0 for x in features]  # (B, H, W, D)
        shown += [0] * (len(refs) + 1 - len(features))  # and the image itself has none
        count += sum(_filled(length, network) or _multiple(network) for length in shown)
    return count


def reference_calls(network: nn.Module, conds: Conds) -> int:
    """Return how many calls of the rope embedder are for references in front of the image: text, features, image."""
    parts = 2 + (getattr(network, "siglip_embedder", None) is not None)
    return parts * len(conds.get("ref_latents") or ())


def check_length(tokens: ImageTokens, before: int, length: int, what: str) -> int:
    """Return where the image begins in a sequence of `length`. Raises RuntimeError, naming `what`, if it has more."""
    expected = before + tokens.padded
    if length != expected:
        raise RuntimeError(
            f"{what} cannot tell the image from the rest of this model's sequence: it has {length} tokens, but text, "
            f"references and image are {expected}; remove the node, or update the pack if this ComfyUI is newer"
        )
    return before


def _frames(x: Tensor) -> int:
    return x.shape[2] if x.ndim == 5 else 1


def _tokens(x: Tensor, network: nn.Module) -> int:
    return _frames(x) * math.prod(token_grid(x, network.patch_size))


def _text_tokens(text: Tensor | None, network: nn.Module, more: Tensor | None = None) -> int:
    if text is None:  # padding alone
        return _multiple(network)
    return _filled(text.shape[1] + (0 if more is None else more.shape[1]), network)


def _multiple(network: nn.Module) -> int:
    return getattr(network, "pad_tokens_multiple", None) or 1


def _filled(count: int, network: nn.Module) -> int:
    return -(-count // _multiple(network)) * _multiple(network)
