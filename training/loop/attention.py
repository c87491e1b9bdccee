"""Attention for training: fast backwards on a CPU, and without cross-view attention for an ablation."""

from torch import Tensor

from ...nextdit.layers.attend import Attend
from ...nextdit.models.multiview import fold_frames, join_frames


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


def within_frames(attend: Attend, frames: int) -> Attend:
    """Return `attend` without cross-view attention, to be given to MultiViewNextDiT: every frame sees itself only.

    `frames` counts the views and, if there is one, the condition image. Give the plain `attend` as `cross`, since the
    text has no frames.
    """

    def alone(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        out = attend(fold_frames(q, frames), fold_frames(k, frames), fold_frames(v, frames), mask)
        return join_frames(out, frames)

    return alone
