"""The transformer blocks of the families, and a run of many."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from .call import Call
from .class_config import ClassConfig
from .config import NextDiTConfig
from .layers.attention import Attending, Attention
from .layers.experts import Experts
from .layers.feed_forward import FeedForward
from .layers.modulation import gated_residual, norm_modulate, plain_norm

Block = Callable[..., nn.Module]
"""block(config, operations=…, device=…, dtype=…) → a module that maps tokens as those here do."""


class NextBlock(nn.Module):
    """Gated attention and SwiGLU, each between two RMS norms (sandwich) and scaled by time and text (paper 2.1)."""

    def __init__(self, config: NextDiTConfig, *, operations, **factory):
        super().__init__()
        c = config

        def norm(width: int) -> nn.Module:
            return operations.RMSNorm(width, eps=1e-5, **factory)

        self.attention = attention(c, operations=operations, **factory)
        self.feed_forward = FeedForward(c.dim, c.ffn_dim, operations=operations, **factory)
        self.attention_norm1, self.attention_norm2 = norm(c.dim), norm(c.dim)
        self.ffn_norm1, self.ffn_norm2 = norm(c.dim), norm(c.dim)
        self.attention_y_norm = norm(c.text_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), operations.Linear(c.time_dim, 4 * c.dim, **factory))

    def forward(self, x: Tensor, text: Tensor, condition: Tensor, how: Attending) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim); text (B, L, text_dim), condition (B, time_dim)."""
        scale_a, gate_a, scale_f, gate_f = self.adaLN_modulation(condition).chunk(4, dim=-1)
        text = self.attention_y_norm(text)
        # what a sub-layer makes has no name here: it would be kept while the next one runs
        x = gated_residual(
            x, gate_a, self.attention_norm2, self.attention(norm_modulate(self.attention_norm1, x, scale_a), text, how)
        )
        return gated_residual(x, gate_f, self.ffn_norm2, self.feed_forward(norm_modulate(self.ffn_norm1, x, scale_f)))


class FlagBlock(nn.Module):
    """Attention and SwiGLU behind a norm each, shifted, scaled and gated by time and condition (Lumina-T2X).

    With `text_dim` 0 in the config there is no text.
    """

    def __init__(self, config: NextDiTConfig, *, operations, **factory):
        super().__init__()
        c = config

        def norm(width: int) -> nn.Module:
            return operations.RMSNorm(width, eps=1e-5, **factory)

        self.attention = attention(c, operations=operations, **factory)
        self.feed_forward = FeedForward(c.dim, c.ffn_dim, operations=operations, **factory)
        self.attention_norm, self.ffn_norm = norm(c.dim), norm(c.dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), operations.Linear(c.time_dim, 6 * c.dim, **factory))
        if c.text_dim:
            self.attention_y_norm = norm(c.text_dim)

    def forward(self, x: Tensor, condition: Tensor, how: Attending, text: Tensor | None = None) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim); condition (B, time_dim), text (B, L, text_dim)."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.adaLN_modulation(condition).chunk(6, dim=-1)
        text = None if text is None else self.attention_y_norm(text)
        # without names, as in NextBlock
        x = x.addcmul(
            gate_a.unsqueeze(1), self.attention(norm_modulate(self.attention_norm, x, scale_a, shift_a), text, how)
        )
        return x.addcmul(gate_f.unsqueeze(1), self.feed_forward(norm_modulate(self.ffn_norm, x, scale_f, shift_f)))


class ClassBlock(nn.Module):
    """NextBlock without text, its first norms without weights, and with experts or without (reference code).

    The names are the ImageNet checkpoints': `attention_norm` and `ffn_norm` are the norms behind, and with both kinds
    of experts those of the time come first, each kind with a norm, a scale and a gate of its own.
    """

    def __init__(self, config: ClassConfig, *, operations, **factory):
        super().__init__()
        c, made = config, {"operations": operations, **factory}

        def norm() -> nn.Module:
            return operations.RMSNorm(c.dim, eps=1e-5, **factory)

        self.attention, self.attention_norm = attention(c, **made), norm()
        self.parts = feed_forwards(c.experts)
        for kind, suffix in self.parts:
            chooses = c.time_dim if kind == "time" else c.dim
            layer = (
                Experts(chooses, c.experts[kind], c.dim, c.ffn_dim, **made)
                if kind
                else FeedForward(c.dim, c.ffn_dim, **made)
            )
            self.add_module(f"feed_forward{suffix}", layer)
            self.add_module(f"ffn_norm{suffix}", norm())
        modulations = 2 + 2 * len(self.parts)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), operations.Linear(c.time_dim, modulations * c.dim, **factory))

    def forward(self, x: Tensor, condition: Tensor, how: Attending, time: Tensor) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim); condition and time, which chooses experts, (B, time_dim)."""
        scale, gate, *others = self.adaLN_modulation(condition).chunk(2 + 2 * len(self.parts), dim=-1)
        h = self.attention(norm_modulate(plain_norm, x, scale), None, how)
        x = gated_residual(x, gate, self.attention_norm, h)
        for i, (kind, suffix) in enumerate(self.parts):
            scale, gate = others[2 * i : 2 * i + 2]
            h, layer = norm_modulate(plain_norm, x, scale), getattr(self, f"feed_forward{suffix}")
            h = layer(h, time.unsqueeze(1)) if kind == "time" else layer(h, h) if kind else layer(h)
            x = gated_residual(x, gate, getattr(self, f"ffn_norm{suffix}"), h)
        return x


def feed_forwards(kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Return each feed-forward's kind of experts, "" for none, and what its names end on, for `kinds` of experts."""
    kinds = list(kinds)
    return [(kind, f"_{kind}" if len(kinds) > 1 else "") for kind in kinds or [""]]


def attention(c: NextDiTConfig, *, operations, **factory) -> Attention:
    """Return the attention of a network of this config."""
    return Attention(
        c.dim, c.n_heads, c.n_kv_heads, c.text_dim, c.qk_norm, c.norm_groups, operations=operations, **factory
    )


def runs(
    layers: Iterable[nn.Module], condition: Tensor, how: Attending, call: Call, **given: Tensor
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Return, for each block, what maps tokens (B, N, dim); the first `call.dropped_layers` pool keys and values.

    `given` is what else the blocks take. The caller goes through them itself, since a function that was handed the
    tokens of the first block would keep them to the last.
    """
    whole = replace(how, pool=None)
    for i, layer in enumerate(layers):
        run = partial(layer, condition=condition, how=how if i < call.dropped_layers else whole, **given)
        yield run if call.replace is None or i not in call.replace else partial(replaced, call.replace[i], run)


def replaced(by: Callable[..., Tensor], run: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Let a caller's own function map the tokens, who may run the block in it."""
    return by(tokens, run)
