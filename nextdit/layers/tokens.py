"""Between images and token sequences: patches, padding, masks."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def pad_to_patches(x: Tensor, patch_size: int) -> Tensor:
    """Pad (B, C, H, W) at the bottom and right to whole patches, wrapping around as ComfyUI's core does."""
    right, bottom = -x.shape[-1] % patch_size, -x.shape[-2] % patch_size
    return F.pad(x, (0, right, 0, bottom), mode="circular") if right or bottom else x


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut (B, C, H, W) into row-major tokens (B, N, C·p²), each ordered channel, row, column (reference code)."""
    return rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=patch_size, q=patch_size)


def unpatchify(tokens: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Join tokens (B, N, p²·C), each ordered row, column, channel, into (B, C, H, W) (reference code)."""
    h, w = grid
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=h, w=w, p=patch_size, q=patch_size)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a (B, L) mask, true or 1 where a token counts, into an additive float mask (B, 1, 1, L).

    Finite, so that a row without any token gives numbers and not NaN; additive, since several attention
    backends misread boolean masks.
    """
    return torch.where(mask.bool(), 0.0, torch.finfo(dtype).min).to(dtype)[:, None, None, :]


def masked_mean(features: Tensor, mask: Tensor | None) -> Tensor:
    """Average (B, L, D) over the tokens that the (B, L) mask counts → (B, D), computed in float32."""
    if mask is None:
        return features.float().mean(dim=1).to(features.dtype)
    weights = mask.to(features.device, torch.float32).unsqueeze(-1)  # (B, L, 1)
    mean = (features.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    return mean.to(features.dtype)
