"""The transformer block of Next-DiT, and a run of many."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from .call import Call
from .config import NextDiTConfig
from .layers.attention import Attending, Attention
from .layers.feed_forward import FeedForward
from .layers.modulation import gated_residual, norm_modulate


class NextBlock(nn.Module):
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

    def forward(self, x: Tensor, text: Tensor, condition: Tensor, how: Attending) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim); text (B, L, text_dim), condition (B, time_dim)."""
        scale_a, gate_a, scale_f, gate_f = self.adaLN_modulation(condition).chunk(4, dim=-1)
        h = self.attention(norm_modulate(self.attention_norm1, x, scale_a), self.attention_y_norm(text), how)
        x = gated_residual(x, gate_a, self.attention_norm2, h)
        h = self.feed_forward(norm_modulate(self.ffn_norm1, x, scale_f))
        return gated_residual(x, gate_f, self.ffn_norm2, h)


def run_layers(
    layers: Iterable[nn.Module], tokens: Tensor, text: Tensor, condition: Tensor, how: Attending, call: Call
) -> Tensor:
    """Send tokens (B, N, dim) through blocks, of which the first `call.dropped_layers` pool their keys and values."""
    whole = replace(how, pool=None)
    for i, layer in enumerate(layers):
        run = partial(layer, text=text, condition=condition, how=how if i < call.dropped_layers else whole)
        tokens = call.replace[i](tokens, run) if call.replace is not None and i in call.replace else run(tokens)
    return tokens
