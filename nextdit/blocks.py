"""The transformer block that the Next-DiT variants share."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .config import NextDiTConfig
from .context_drop import Pool
from .layers.attention import Attend, Attention
from .layers.cpu_rows import by_rows
from .layers.parts import FeedForward, modulate

RunBlock = Callable[[Tensor], Tensor]
Replace = Mapping[int, Callable[[Tensor, RunBlock], Tensor]]
"""What runs in place of a layer: replace[index](x, run) → x, where run(x) is the layer itself."""


class Block(nn.Module):
    """Gated attention and SwiGLU, each between two RMS norms (sandwich) and scaled by time and text (paper 2.1)."""

    def __init__(self, config: NextDiTConfig, *, operations, **factory):
        super().__init__()
        c = config

        def norm(width: int) -> nn.Module:
            return operations.RMSNorm(width, eps=1e-5, **factory)

        self.attention = Attention(
            c.dim, c.n_heads, c.n_kv_heads, c.text_dim, c.qk_norm, operations=operations, **factory
        )
        self.feed_forward = FeedForward(c.dim, c.ffn_dim, operations=operations, **factory)
        self.attention_norm1, self.attention_norm2 = norm(c.dim), norm(c.dim)
        self.ffn_norm1, self.ffn_norm2 = norm(c.dim), norm(c.dim)
        self.attention_y_norm = norm(c.text_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), operations.Linear(c.time_dim, 4 * c.dim, **factory))

    def forward(
        self,
        x: Tensor,
        text: Tensor,
        condition: Tensor,
        rotary: Tensor,
        text_mask: Tensor | None,
        attend: Attend,
        temperature: float = 1.0,
        pool: Pool | None = None,
        cross: Attend | None = None,
    ) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim); text (B, L, text_dim), condition (B, time_dim)."""
        scale_a, gate_a, scale_f, gate_f = self.adaLN_modulation(condition).chunk(4, dim=-1)
        gate_a, gate_f = gate_a.tanh().unsqueeze(1), gate_f.tanh().unsqueeze(1)
        h = by_rows(lambda x: modulate(self.attention_norm1(x), scale_a), x)
        h = self.attention(h, self.attention_y_norm(text), rotary, text_mask, attend, temperature, pool, cross)
        x = by_rows(lambda x, h: torch.addcmul(x, gate_a, self.attention_norm2(h)), x, h)
        h = by_rows(lambda x: modulate(self.ffn_norm1(x), scale_f), x)
        h = self.feed_forward(h)
        return by_rows(lambda x, h: torch.addcmul(x, gate_f, self.ffn_norm2(h)), x, h)


def run_layers(
    layers: Iterable[nn.Module],
    tokens: Tensor,
    *,
    pool: Pool | None = None,
    dropping: int = 0,
    replace: Replace | None = None,
    **arguments: Any,
) -> Tensor:
    """Send tokens (B, N, dim) through blocks, all with the same `arguments`; the first `dropping` of them `pool`."""
    for i, layer in enumerate(layers):
        run = partial(layer, pool=pool if i < dropping else None, **arguments)
        tokens = replace[i](tokens, run) if replace and i in replace else run(tokens)
    return tokens
