"""Attention for training on a CPU, where PyTorch's fused kernel spends most of its time backwards."""

from torch import Tensor


def folded_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend by plain matrix products, the query heads of a K/V group folded into rows; as nextdit's `sdpa`.

    q (B, H, L, D), k and v (B, H_kv, S, D), mask None or additive (B, 1, 1, S) → (B, H, L, D).
    """
    b, heads, length, width = q.shape
    groups = k.shape[1]
    rows = q.reshape(b, groups, heads // groups * length, width) * width**-0.5
    logits = rows @ k.transpose(-1, -2)
    if mask is not None:
        logits = logits + mask
    return (logits.softmax(-1).to(v.dtype) @ v).reshape(b, heads, length, width)
