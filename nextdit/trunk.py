"""What the families share: layers under time and text, and for pictures patches to tokens and tokens to patches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import NextBlock, run_layers
from .call import Call
from .config import NextDiTConfig
from .layers.embedders import TimeEmbedder
from .layers.modulation import FinalLayer
from .layers.rope import Axes
from .layers.tokens import masked_mean, pad_to_patches, patchify, unpatchify


class Body(nn.Module):
    """The modules of a Next-DiT under time and text, whatever its tokens are; names as in checkpoints.

    `embedders` are the modules, by name, that make tokens; `operations` is the namespace that has Linear, LayerNorm and
    RMSNorm: torch.nn, or a comfy.ops class.
    """

    def __init__(self, config: NextDiTConfig, embedders: dict[str, nn.Module], *, operations, **factory):
        super().__init__()
        self.config = c = config
        for name, module in embedders.items():
            self.add_module(name, module)
        made = {"operations": operations, **factory}
        self.t_embedder = TimeEmbedder(c.time_frequencies, c.time_dim, **made)
        self.cap_embedder = nn.Sequential(
            operations.LayerNorm(c.text_dim, eps=1e-5, **factory), operations.Linear(c.text_dim, c.time_dim, **factory)
        )
        self.layers = nn.ModuleList(NextBlock(c, **made) for _ in range(c.n_layers))
        self.final_layer = FinalLayer(c.dim, c.time_dim, c.out_channels * c.patch_size**2, **made)
        # Fills up short sequences where samples of several sizes share a batch. Pictures here have one size, so for
        # them it is only kept, for the checkpoint to stay whole.
        self.pad_token = nn.Parameter(torch.zeros(c.dim, **factory))

    def check(self, latent: Sequence[int], text_dim: int) -> None:
        """Raise ValueError if latents of a shape (B, C, …) or text features of a width do not fit this model."""
        self.config.check_latent(latent)
        self.config.check_text(text_dim)

    def condition(self, t: Tensor, text: Tensor, text_mask: Tensor | None, call: Call) -> Tensor:
        """Return what modulates the layers, (B·F, time_dim), for times t (B·F,) and a text for each of B."""
        pooled = self.cap_embedder(masked_mean(text, text_mask) if call.pooled is None else call.pooled)
        return self.t_embedder(t, text.dtype) + pooled.repeat_interleave(len(t) // len(pooled), dim=0)


class Trunk(Body):
    """The modules of a text-conditioned Next-DiT on pictures.

    `axes` are RoPE's; all but the last two, rows and columns, count frames. `operations` is as in Body.
    """

    x_embedder: nn.Linear

    def __init__(self, config: NextDiTConfig, *, axes: Axes, device=None, dtype=None, operations=nn):
        factory = {"device": device, "dtype": dtype}
        embedder = operations.Linear(config.in_channels * config.patch_size**2, config.dim, **factory)
        super().__init__(config, {"x_embedder": embedder}, operations=operations, **factory)
        self.axes = axes

    def run(
        self, x: Tensor, t: Tensor, text: Tensor, text_mask: Tensor | None, condition: Tensor, call: Call
    ) -> Tensor:
        """Return the velocity (B·F, C, H, W) of pictures x (B·F, C, H, W), F frames in each of B, times t (B,)."""
        p, (height, width) = self.config.patch_size, x.shape[-2:]
        x = pad_to_patches(x, p)
        grid = x.shape[-2] // p, x.shape[-1] // p
        rotary = self.rotary(t, grid, len(x) // len(t), call)
        tokens = self.x_embedder(patchify(x, p))
        how = call.attending(rotary, text_mask, grid, x.dtype)
        tokens = run_layers(self.layers, tokens, text, condition, how, call)
        out = unpatchify(self.final_layer(tokens, condition), p, grid)
        return out[:, : self.config.in_channels, :height, :width]  # the rest is the variance head

    def rotary(self, t: Tensor, grid: tuple[int, int], frames: int, call: Call) -> Tensor:
        """Return the rotary table (2, 1 or B·F, tokens of a frame, head_dim / 2): every frame turns by its set's t."""
        still = len(self.axes.widths) - 2
        counted = [torch.arange(frames, device=t.device)] * still
        positions = [*counted, *call.grid_positions(grid, t.device)]
        table = self.axes.table(positions, call.scaling.thetas(self.axes, t, still))
        if not still:  # all frames have the same positions
            return table if table.shape[1] == 1 else table.repeat_interleave(frames, dim=1)
        sets = len(t)
        return table.unflatten(2, (frames, -1)).expand(-1, sets, -1, -1, -1).flatten(1, 2)
