"""Wrappers around a model's calls: how one takes another's place, and what they read from a call."""

import math

from torch import Tensor


def replace_wrapper(patcher, kind: str, key: str, wrapper) -> None:
    """Add a wrapper to a patcher; the one that an earlier node of the same kind added under `key` goes."""
    patcher.remove_wrappers_with_key(kind, key)
    patcher.add_wrapper_with_key(kind, key, wrapper)


def token_grid(x: Tensor, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of tokens of a latent (…, H, W); odd sizes count as padded."""
    return math.ceil(x.shape[-2] / patch_size), math.ceil(x.shape[-1] / patch_size)
