"""What the families share: layers under a condition, and for pictures patches to tokens and tokens to patches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import Block, NextBlock, runs
from .call import Call
from .config import NextDiTConfig
from .layers.embedders import TimeEmbedder
from .layers.modulation import FinalLayer
from .layers.rope import Axes
from .layers.tokens import masked_mean, pad_to_patches, patchify, unpatchify


class Stack(nn.Module):
    """Layers under a time and something else, whatever the tokens are; names as in checkpoints.

    `embedders` are the modules, by name, that make tokens, `conditions` those that make what joins the time; `shifts`
    is whether the final layer is shifted too. `operations` is the namespace that has Linear, LayerNorm, RMSNorm and
    GroupNorm: torch.nn, or a comfy.ops class.
    """

    def __init__(
        self,
        config: NextDiTConfig,
        embedders: dict[str, nn.Module],
        conditions: dict[str, nn.Module],
        block: Block = NextBlock,
        shifts: bool = False,
        *,
        operations,
        **factory,
    ):
        super().__init__()
        self.config = c = config
        made = {"operations": operations, **factory}
        timed = {"t_embedder": TimeEmbedder(c.time_frequencies, c.time_dim, **made)}
        for name, module in (embedders | timed | conditions).items():
            self.add_module(name, module)
        self.layers = nn.ModuleList(block(c, **made) for _ in range(c.n_layers))
        self.final_layer = FinalLayer(c.dim, c.time_dim, c.out_channels * c.patch_numbers, shifts, **made)


class Body(Stack):
    """The modules of a network under time and text, whatever its tokens are; arguments as in Stack.

    `pads` is whether its checkpoints have a token that fills up.
    """

    t_embedder: TimeEmbedder
    cap_embedder: nn.Sequential

    def __init__(
        self,
        config: NextDiTConfig,
        embedders: dict[str, nn.Module],
        block: Block = NextBlock,
        shifts: bool = False,
        pads: bool = True,
        *,
        operations,
        **factory,
    ):
        c = config
        pooled = nn.Sequential(
            operations.LayerNorm(c.text_dim, eps=1e-5, **factory), operations.Linear(c.text_dim, c.time_dim, **factory)
        )
        super().__init__(c, embedders, {"cap_embedder": pooled}, block, shifts, operations=operations, **factory)
        # Fills up short sequences where samples of several sizes share a batch. Pictures here have one size, so for
        # them it is only kept, for the checkpoint to stay whole.
        if pads:
            self.pad_token = nn.Parameter(torch.zeros(c.dim, **factory))

    def check(self, latent: Sequence[int], text_dim: int) -> None:
        """Raise ValueError if latents of a shape (B, C, …) or text features of a width do not fit this model."""
        self.config.check_latent(latent)
        self.config.check_text(text_dim)

    def condition(self, t: Tensor, text: Tensor, text_mask: Tensor | None, call: Call) -> Tensor:
        """Return what modulates the layers, (B·F, time_dim), for times t (B·F,) and a text for each of B."""
        pooled = self.cap_embedder(masked_mean(text, text_mask) if call.pooled is None else call.pooled)
        return self.t_embedder(t, text.dtype) + pooled.repeat_interleave(len(t) // len(pooled), dim=0)


class Pictures(Stack):
    """A Stack whose tokens are the patches of pictures, with RoPE on `axes`.

    All axes but the last two, rows and columns, count frames; a single axis counts the patches one after the other.
    """

    x_embedder: nn.Linear
    axes: Axes

    @staticmethod
    def embedders(config: NextDiTConfig, *, operations, **factory) -> dict[str, nn.Module]:
        """Return the modules that make tokens of patches."""
        return {"x_embedder": operations.Linear(config.in_channels * config.patch_size**2, config.dim, **factory)}

    def run(
        self, x: Tensor, t: Tensor, condition: Tensor, call: Call, text_mask: Tensor | None = None, **given: Tensor
    ) -> Tensor:
        """Return the velocity (B·F, C, H, W) of pictures x (B·F, C, H, W), F frames in each of B, times t (B,).

        `given` is what the blocks take besides tokens and condition.
        """
        p, (height, width) = self.config.patch_size, x.shape[-2:]
        x = pad_to_patches(x, p)
        grid = x.shape[-2] // p, x.shape[-1] // p
        rotary = self.rotary(t, grid, len(x) // len(t), call)
        how = call.attending(rotary, text_mask, grid, x.dtype, self.axes)
        tokens = self.to_sequence(self.x_embedder(patchify(x, p)), grid)
        for run in runs(self.layers, condition, how, call, **given):
            tokens = run(tokens)
        out = unpatchify(self.final_layer(self.to_patches(tokens, grid), condition), p, grid)
        return out[:, : self.config.in_channels, :height, :width]  # the rest is the variance head

    def to_sequence(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return patches (B, rows·columns, dim) as the sequence that the layers see."""
        return tokens

    def to_patches(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Undo `to_sequence`."""
        return tokens

    def rotary(self, t: Tensor, grid: tuple[int, int], frames: int, call: Call) -> Tensor:
        """Return the rotary table (2, 1 or B·F, tokens of a frame, head_dim / 2): every frame turns by its set's t."""
        if self.axes.in_line:
            places = [torch.arange(self.axes.tokens(grid), device=t.device)]
            return self.axes.table(places, call.scaling.thetas(self.axes, t))
        still = len(self.axes.widths) - 2
        positions = [call.counted(frames, t.device)] * still + [*call.grid_positions(grid, t.device)]
        table = self.axes.table(positions, call.scaling.thetas(self.axes, t, still))
        if not still:  # all frames have the same positions
            return table if table.shape[1] == 1 else table.repeat_interleave(frames, dim=1)
        sets = len(t)
        return table.unflatten(2, (frames, -1)).expand(-1, sets, -1, -1, -1).flatten(1, 2)


class Trunk(Pictures, Body):
    """The modules of a text-conditioned network on pictures; `axes` are RoPE's, as in Pictures."""

    def __init__(
        self,
        config: NextDiTConfig,
        *,
        axes: Axes,
        block: Block = NextBlock,
        shifts: bool = False,
        device=None,
        dtype=None,
        operations=nn,
    ):
        made = {"operations": operations, "device": device, "dtype": dtype}
        super().__init__(config, self.embedders(config, **made), block, shifts, **made)
        self.axes = axes
