"""Between images and token sequences: patches, padding, masks."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def pad_to_patches(x: Tensor, patch_size: int) -> Tensor:
    """Pad (B, C, H, W) at the bottom and right to whole patches, wrapping around as ComfyUI's core does."""
    height, width = x.shape[-2:]
    right, bottom = -width % patch_size, -height % patch_size
    if right > width or bottom > height:  # more than once around, which PyTorch's padding refuses
        rows, columns = (torch.arange(n + more, device=x.device) % n for n, more in ((height, bottom), (width, right)))
        return x[:, :, rows][..., columns]
    return F.pad(x, (0, right, 0, bottom), mode="circular") if right or bottom else x


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut (B, C, H, W) into row-major tokens (B, N, C·p²), each ordered channel, row, column (reference code)."""
    return rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=patch_size, q=patch_size)


def unpatchify(tokens: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Join tokens (B, N, p²·C), each ordered row, column, channel, into (B, C, H, W) (reference code)."""
    h, w = grid
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=h, w=w, p=patch_size, q=patch_size)


def needed_mask(mask: Tensor | None) -> Tensor | None:
    """Return a (B, L) mask, or None where every token counts; reads its values, for which a GPU would wait.

    Attention without a mask has kernels that attention with one lacks.
    """
    return None if mask is None or bool(mask.all()) else mask


def known_mask(mask: Tensor | None) -> Tensor | None:
    """Do `needed_mask` where that costs nothing: outside of graphs, with a real tensor in the CPU's memory."""
    free = type(mask) is Tensor and mask.device.type == "cpu" and not torch.compiler.is_compiling()
    return needed_mask(mask) if free else mask


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a (B, L) mask, true or 1 where a token counts, into an additive float mask (B, 1, 1, L).

    Finite, so that a row without any token gives numbers and not NaN; additive, since several attention
    backends misread boolean masks.
    """
    return torch.where(mask.bool(), 0.0, torch.finfo(dtype).min).to(dtype)[:, None, None, :]


def masked_mean(features: Tensor, mask: Tensor | None) -> Tensor:
    """Average (B, L, D) over the tokens that the (B, L) mask counts → (B, D), computed in float32."""
    if mask is None:
        # not mean(): on a GPU its rounding is not that of a mask of ones
        return (features.float().sum(dim=1) / features.shape[1]).to(features.dtype)
    weights = mask.to(features.device, torch.float32).unsqueeze(-1)  # (B, L, 1)
    mean = (features.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    return mean.to(features.dtype)
