"""Next-DiT for text to image: noisy latents, time and text features in, velocity out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..blocks import Block, Replace, run_layers
from ..config import NextDiTConfig
from ..context_drop import ContextDrop
from ..layers.attention import Attend, default_attend
from ..layers.parts import FinalLayer, TimeEmbedder
from ..layers.rope import PLAIN, RopeScaling, rotary_table
from ..layers.tokens import additive_mask, masked_mean, pad_to_patches, patchify, unpatchify


class NextDiT(nn.Module):
    """Text-to-image Next-DiT (arXiv 2406.18583); module names are the reference checkpoint's keys.

    `operations` is the namespace that has Linear, LayerNorm and RMSNorm: torch.nn, or a comfy.ops class.
    """

    def __init__(self, config: NextDiTConfig, *, device=None, dtype=None, operations=nn):
        super().__init__()
        self.config = c = config
        factory = {"device": device, "dtype": dtype}
        made = {"operations": operations, **factory}
        self.x_embedder = operations.Linear(c.in_channels * c.patch_size**2, c.dim, **factory)
        self.t_embedder = TimeEmbedder(c.time_frequencies, c.time_dim, **made)
        self.cap_embedder = nn.Sequential(
            operations.LayerNorm(c.text_dim, eps=1e-5, **factory), operations.Linear(c.text_dim, c.time_dim, **factory)
        )
        self.layers = nn.ModuleList(Block(c, **made) for _ in range(c.n_layers))
        self.final_layer = FinalLayer(c.dim, c.time_dim, c.out_channels * c.patch_size**2, **made)
        # Fills up short sequences where images of several sizes share a batch. Batches here have one size, so it
        # is only kept, for the checkpoint to stay whole.
        self.pad_token = nn.Parameter(torch.zeros(c.dim, **factory))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, C, H, W) at x (B, C, H, W) and t (B,), t = 0 noise, t = 1 data.

        text (B, L, text_dim); text_mask (B, L), true or 1 where a token counts, None if all do. Odd sizes are padded
        and cropped. Computes in the weights' dtype, returns x's. Raises ValueError on a wrong channel count or width,
        and on several times in one batch when `drop` fades.
        """
        dtype = self.x_embedder.weight.dtype
        dropping = drop.layers(t, self.config.n_layers) if drop else 0
        out = self.velocity(
            x.to(dtype), t, text.to(dtype), text_mask, rope=rope, drop=drop, dropping=dropping, attend=attend
        )
        return out.to(x.dtype)

    def velocity(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        dropping: int = 0,
        attend: Attend | None = None,
        replace: Replace | None = None,
        positions: Sequence[Tensor] | None = None,
        cross: Attend | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves.

        The first `dropping` layers drop context: the caller asks `drop.layers`, so that nothing here waits for t's
        value. `replace` runs something else in place of a layer; `positions` are the rows' and columns' RoPE positions,
        by default 0, 1, 2, …. `cross` attends to the text in place of `attend`; `pooled` (B, text_dim) modulates the
        layers in place of the mean text feature.
        """
        c = self.config
        self.check(x.shape[1], text.shape[-1])
        height, width = x.shape[-2:]
        x = pad_to_patches(x, c.patch_size)
        grid = x.shape[-2] // c.patch_size, x.shape[-1] // c.patch_size
        rope, attend = rope or PLAIN, attend or default_attend

        pooled = masked_mean(text, text_mask) if pooled is None else pooled
        condition = self.t_embedder(t, x.dtype) + self.cap_embedder(pooled)
        mask = None if text_mask is None else additive_mask(text_mask.to(x.device), x.dtype)
        rotary = self.rotary(rope, t, positions or [torch.arange(n, device=x.device) for n in grid])
        tokens = self.x_embedder(patchify(x, c.patch_size))
        tokens = run_layers(
            self.layers,
            tokens,
            text=text,
            condition=condition,
            rotary=rotary,
            text_mask=mask,
            attend=attend,
            temperature=rope.temperature(tokens.shape[1]),
            pool=drop.pool(grid) if drop else None,
            dropping=dropping,
            cross=cross,
            replace=replace,
        )
        out = unpatchify(self.final_layer(tokens, condition), c.patch_size, grid)
        return out[:, : c.in_channels, :height, :width]  # the rest is the variance head, which sampling ignores

    def rotary(self, rope: RopeScaling, t: Tensor, positions: Sequence[Tensor]) -> Tensor:
        """Return the rotary table for every time in t (B,)."""
        times = t if rope.method.startswith("time_aware") else t.new_zeros(())  # one table does for a batch
        thetas = tuple(rope.frequencies(self.config.head_dim, times, axis=axis) for axis in range(2))
        return rotary_table(positions, thetas)

    def check(self, channels: int, text_dim: int) -> None:
        """Raise ValueError if latents or text features do not fit this model."""
        self.config.check_inputs(channels, text_dim)
