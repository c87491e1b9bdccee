"""Attention backends, and the attention of Next-DiT: image self-attention plus gated text cross-attention."""

from collections.abc import Callable
from functools import cache
from importlib import import_module, util

import torch.nn.functional as F
from torch import Tensor, nn

from ..context_drop import Pool
from .cpu_rows import attend_by_rows, by_rows, rows_are_faster
from .parts import HeadGate
from .rope import rotate

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""attend(q, k, v, mask): q (B, H, L, D), k and v (B, H_kv, S, D), mask None or additive (B, 1, 1, S) → (B, H, L, D)."""


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend with PyTorch's scaled_dot_product_attention; grouped K/V are not expanded."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


@cache
def _flash_attn_func() -> Callable | None:
    if util.find_spec("flash_attn") is None:
        return None
    return import_module("flash_attn").flash_attn_func


def default_attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend with flash-attn where it is installed and takes the call (CUDA, 16 bit, no mask), else with `sdpa`.

    On CPUs that multiply bfloat16 matrices, and do so outside of `sdpa` only, with `attend_by_rows`.
    """
    if mask is None and rows_are_faster(q, k):
        return attend_by_rows(q, k, v)
    flash = _flash_attn_func() if q.is_cuda and q.element_size() == 2 and mask is None else None
    if flash is None:
        return sdpa(q, k, v, mask)
    return flash(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)  # it wants (B, L, H, D)


class Attention(nn.Module):
    """Grouped-query self-attention over image tokens, to which text cross-attention is added through a gate.

    LayerNorm over all heads together on q and k; the text's attention uses the same rotated q (reference code).
    """

    def __init__(self, dim: int, heads: int, kv_heads: int, text_dim: int, qk_norm: bool, *, operations, **factory):
        super().__init__()
        self.head_dim = dim // heads
        kv_dim = kv_heads * self.head_dim

        def linear(inputs: int, outputs: int) -> nn.Module:
            return operations.Linear(inputs, outputs, bias=False, **factory)

        def norm(width: int) -> nn.Module:
            return operations.LayerNorm(width, eps=1e-5, **factory) if qk_norm else nn.Identity()

        self.wq, self.wk, self.wv = linear(dim, dim), linear(dim, kv_dim), linear(dim, kv_dim)
        self.wk_y, self.wv_y = linear(text_dim, kv_dim), linear(text_dim, kv_dim)
        self.wo = linear(dim, dim)
        self.q_norm, self.k_norm, self.ky_norm = norm(dim), norm(kv_dim), norm(kv_dim)
        self.gate = HeadGate(heads, operations=operations, **factory)

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, N, H·D) → (B, H, N, D)

    def forward(
        self,
        x: Tensor,
        text: Tensor,
        rotary: Tensor,
        text_mask: Tensor | None,
        attend: Attend,
        temperature: float = 1.0,
        pool: Pool | None = None,
        cross: Attend | None = None,
    ) -> Tensor:
        """Attend from tokens x (B, N, dim) to themselves and to the text (B, L, text_dim) → (B, N, dim).

        `temperature` multiplies self-attention's logits; `pool` thins out its keys and values; `cross` attends to the
        text in place of `attend`.
        """
        q = by_rows(lambda q, rotary: rotate(self.heads(self.q_norm(q)), rotary), self.wq(x), rotary)
        k, v = self.heads(self.k_norm(self.wk(x))), self.heads(self.wv(x))
        k, v = (by_rows(rotate, k, rotary), v) if pool is None else pool(k, v, rotary)
        k_text, v_text = self.heads(self.ky_norm(self.wk_y(text))), self.heads(self.wv_y(text))
        out = attend(q if temperature == 1.0 else q * temperature, k, v, None)
        out = by_rows(self.gate, out, (cross or attend)(q, k_text, v_text, text_mask))
        return self.wo(out.transpose(1, 2).flatten(-2))  # (B, H, N, D) → (B, N, H·D)
