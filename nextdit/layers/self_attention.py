"""Self-attention without text: what networks have whose tokens only look at each other."""

from torch import Tensor, nn

from .attention import Attending
from .cpu_rows import by_rows
from .rope import rotate


class SelfAttention(nn.Module):
    """Grouped-query self-attention, LayerNorm over all heads together on q and k; names as in `Attention`."""

    def __init__(self, dim: int, heads: int, kv_heads: int, qk_norm: bool, *, operations, **factory):
        super().__init__()
        self.head_dim = dim // heads
        kv_dim = kv_heads * self.head_dim

        def linear(inputs: int, outputs: int) -> nn.Module:
            return operations.Linear(inputs, outputs, bias=False, **factory)

        def norm(width: int) -> nn.Module:
            return operations.LayerNorm(width, eps=1e-5, **factory) if qk_norm else nn.Identity()

        self.wq, self.wk, self.wv = linear(dim, dim), linear(dim, kv_dim), linear(dim, kv_dim)
        self.wo = linear(dim, dim)
        self.q_norm, self.k_norm = norm(dim), norm(kv_dim)

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, N, H·D) → (B, H, N, D)

    def forward(self, x: Tensor, how: Attending) -> Tensor:
        """Attend from tokens x (B, N, dim), turned by `how.rotary`, to themselves under `how.mask` → (B, N, dim)."""
        assert how.rotary is not None
        q = by_rows(lambda q, rotary: rotate(self.heads(self.q_norm(q)), rotary), self.wq(x), how.rotary)
        k = by_rows(lambda k, rotary: rotate(self.heads(self.k_norm(k)), rotary), self.wk(x), how.rotary)
        out = how.attend(q if how.logit_scale == 1.0 else q * how.logit_scale, k, self.heads(self.wv(x)), how.mask)
        return self.wo(out.transpose(1, 2).flatten(-2))  # (B, H, N, D) → (B, N, H·D)
