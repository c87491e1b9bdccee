"""The attention of all families: grouped-query self-attention, and through a gate attention to a text."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from .attend import Attend
from .cpu_rows import by_rows
from .modulation import HeadGate
from .rope import rotate

Pool = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""pool(k, v, rotary): unrotated k and v (B, H_kv, N, D) → rotated, pooled k and pooled v (B, H_kv, M, D)."""


@dataclass(frozen=True)
class Attending:
    """How the layers of one evaluation attend.

    `rotary` is the table of the tokens' angles (2, B, N, head_dim / 2), None for tokens that have no order; `text_mask`
    and the tokens' own `mask` are additive (B, 1, 1, L) or None. `logit_scale` multiplies self-attention's logits,
    `pool` thins out its keys and values, `cross` attends to the text.
    """

    rotary: Tensor | None
    attend: Attend
    cross: Attend
    text_mask: Tensor | None = None
    logit_scale: float = 1.0
    pool: Pool | None = None
    mask: Tensor | None = None


class Attention(nn.Module):
    """Grouped-query self-attention over image tokens, to which text cross-attention is added through a gate.

    LayerNorm over all heads together on q and k, or over each of `norm_groups` groups; the text's attention uses the
    same rotated q (reference code). With `text_dim` 0 there is no text.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        kv_heads: int,
        text_dim: int,
        qk_norm: bool,
        norm_groups: int = 1,
        *,
        operations,
        **factory,
    ):
        super().__init__()
        self.head_dim, self.norm_groups = dim // heads, norm_groups
        kv_dim = kv_heads * self.head_dim

        def linear(inputs: int, outputs: int) -> nn.Module:
            return operations.Linear(inputs, outputs, bias=False, **factory)

        def norm(width: int) -> nn.Module:
            if not qk_norm:
                return nn.Identity()
            if norm_groups > 1:
                return operations.GroupNorm(norm_groups, width, eps=1e-5, **factory)
            return operations.LayerNorm(width, eps=1e-5, **factory)

        self.wq, self.wk, self.wv = linear(dim, dim), linear(dim, kv_dim), linear(dim, kv_dim)
        if text_dim:
            self.wk_y, self.wv_y = linear(text_dim, kv_dim), linear(text_dim, kv_dim)
        self.wo = linear(dim, dim)
        self.q_norm, self.k_norm = norm(dim), norm(kv_dim)
        if text_dim:
            self.ky_norm = norm(kv_dim)
            self.gate = HeadGate(heads, operations=operations, **factory)

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, N, H·D) → (B, H, N, D)

    def normed(self, norm: nn.Module, x: Tensor) -> Tensor:
        """Return x (B, N, H·D) normalised, as heads (B, H, N, D)."""
        if self.norm_groups > 1:  # a GroupNorm's channels are its second dimension
            return self.heads(norm(x.flatten(0, 1)).view_as(x))
        return self.heads(norm(x))

    def forward(self, x: Tensor, text: Tensor | None, how: Attending) -> Tensor:
        """Attend from tokens x (B, N, dim) to themselves and to a text (B, L, text_dim) → (B, N, dim)."""
        if how.rotary is None:
            q = by_rows(lambda q: self.normed(self.q_norm, q), self.wq(x))
        else:
            q = by_rows(lambda q, rotary: rotate(self.normed(self.q_norm, q), rotary), self.wq(x), how.rotary)
        k, v = self.normed(self.k_norm, self.wk(x)), self.heads(self.wv(x))
        if how.rotary is not None:
            k, v = (by_rows(rotate, k, how.rotary), v) if how.pool is None else how.pool(k, v, how.rotary)
        out = how.attend(q if how.logit_scale == 1.0 else q * how.logit_scale, k, v, how.mask)
        if text is not None:
            k_text, v_text = self.normed(self.ky_norm, self.wk_y(text)), self.heads(self.wv_y(text))
            out = by_rows(self.gate, out, how.cross(q, k_text, v_text, how.text_mask))
        return self.wo(out.transpose(1, 2).flatten(-2))  # (B, H, N, D) → (B, N, H·D)
