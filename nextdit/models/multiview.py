"""MV-Next-DiT: several views of one object at once, from a text, an image or both (paper section 5.1)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import Block, Replace, run_layers
from ..config import NextDiTConfig
from ..context_drop import ContextDrop
from ..layers.attention import Attend, default_attend
from ..layers.parts import AzimuthEmbedder, FinalLayer, TimeEmbedder
from ..layers.rope import PLAIN, RopeScaling, rotary_table, rotary_table_3d
from ..layers.tokens import additive_mask, masked_mean, pad_to_patches, patchify, unpatchify
from .image import NextDiT

ROPE_AXES = (2, 3)


def fold_frames(x: Tensor, frames: int) -> Tensor:
    """Cut sequences of all frames' tokens (B, H, frames·N, D) into those of each frame, (B·frames, H, N, D)."""
    return x.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)


def join_frames(x: Tensor, frames: int) -> Tensor:
    """Undo `fold_frames`: (B·frames, H, N, D) → (B, H, frames·N, D), without a copy where heads are innermost."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2).flatten(2, 3)


def across_frames(attend: Attend, frames: int) -> Attend:
    """Return `attend` for queries (B·frames, H, N, D) that attend over the tokens of all frames of their set.

    Keys and values are (B·frames, H_kv, M, D), or already one set's, (B, H_kv, L, D), as a text's are.
    """

    def joint(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if len(k) == len(q):
            k, v = join_frames(k, frames), join_frames(v, frames)
        return fold_frames(attend(join_frames(q, frames), k, v, mask), frames)

    return attend if frames == 1 else joint


def within_frames(attend: Attend, frames: int) -> Attend:
    """Return `attend` without cross-view attention, to be given to MultiViewNextDiT: every frame sees itself only.

    `frames` counts the views and, if there is one, the condition image. Give the plain `attend` as `cross`, since the
    text has no frames.
    """

    def alone(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        out = attend(fold_frames(q, frames), fold_frames(k, frames), fold_frames(v, frames), mask)
        return join_frames(out, frames)

    return alone


class MultiViewNextDiT(nn.Module):
    """Multi-view Next-DiT; module names are the text-to-image checkpoint's keys, plus `azimuth_embedder`.

    Views are frames with a modulation each; self-attention runs over the tokens of all frames. `rope_axes` 2 gives all
    frames the same positions, those of a text-to-image model; 3 adds the frame's number as the first axis, for which
    head_dim has to be divisible by 6. `operations` is as in NextDiT. Raises ValueError on another `rope_axes`.
    """

    def __init__(self, config: NextDiTConfig, *, rope_axes: Literal[2, 3] = 2, device=None, dtype=None, operations=nn):
        super().__init__()
        check_rope_axes(rope_axes, config.head_dim)
        self.config, self.rope_axes = config, rope_axes
        c = config
        factory = {"device": device, "dtype": dtype}
        made = {"operations": operations, **factory}
        self.x_embedder = operations.Linear(c.in_channels * c.patch_size**2, c.dim, **factory)
        self.t_embedder = TimeEmbedder(c.time_frequencies, c.time_dim, **made)
        self.azimuth_embedder = AzimuthEmbedder(c.time_dim, **made)
        self.cap_embedder = nn.Sequential(
            operations.LayerNorm(c.text_dim, eps=1e-5, **factory), operations.Linear(c.text_dim, c.time_dim, **factory)
        )
        self.layers = nn.ModuleList(Block(c, **made) for _ in range(c.n_layers))
        self.final_layer = FinalLayer(c.dim, c.time_dim, c.out_channels * c.patch_size**2, **made)
        self.pad_token = nn.Parameter(torch.zeros(c.dim, **factory))  # kept for the checkpoint, as in NextDiT

    @classmethod
    def from_image_model(cls, model: NextDiT, *, rope_axes: Literal[2, 3] = 2) -> "MultiViewNextDiT":
        """Return a multi-view model with a text-to-image model's weights, copied, and azimuths that do nothing yet."""
        weight = model.x_embedder.weight
        made = cls(model.config, rope_axes=rope_axes, device=weight.device, dtype=weight.dtype)
        for parameter in made.azimuth_embedder.mlp[2].parameters():
            nn.init.zeros_(parameter)
        own = {key: x for key, x in made.state_dict().items() if key.startswith("azimuth_embedder.")}
        made.load_state_dict({**model.state_dict(), **own})
        return made.train(model.training)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        azimuth: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        image: Tensor | None = None,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        attend: Attend | None = None,
        cross: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, N, C, H, W) of N noisy views x (B, N, C, H, W) at t (B,), t = 0 noise, t = 1 data.

        azimuth (B, N) in degrees, relative to `image`, or to view 0 where there is none. image (B, C, H, W) is a clean
        view of the object at azimuth 0. text (B, L, text_dim), text_mask (B, L) as in NextDiT. `attend` gets the tokens
        of all frames at once; `cross` attends to the text in its place. Odd sizes are padded and cropped. Computes in
        the weights' dtype, returns x's. Raises ValueError on shapes that do not fit, and as NextDiT does.
        """
        dtype = self.x_embedder.weight.dtype
        out = self.velocity(
            x.to(dtype),
            t,
            azimuth,
            text.to(dtype),
            text_mask,
            image=None if image is None else image.to(dtype),
            rope=rope,
            drop=drop,
            dropping=drop.layers(t, self.config.n_layers) if drop else 0,
            attend=attend,
            cross=cross,
        )
        return out.to(x.dtype)

    def velocity(
        self,
        x: Tensor,
        t: Tensor,
        azimuth: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        image: Tensor | None = None,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        dropping: int = 0,
        attend: Attend | None = None,
        replace: Replace | None = None,
        positions: Sequence[Tensor] | None = None,
        cross: Attend | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves; arguments as NextDiT.velocity's.

        `replace` gets tokens (B·F, tokens of a frame, dim), F = N or, with an image before the views, N + 1.
        """
        c = self.config
        check_shapes(x, t, azimuth, text, image)
        self.check(x.shape[2], text.shape[-1])
        rope, attend = rope or PLAIN, attend or default_attend
        times, azimuths, views = t[:, None].expand(azimuth.shape), azimuth, x
        if image is not None:  # clean, so at t = 1, and what azimuths are relative to
            views = torch.cat([image[:, None], x], dim=1)
            times = torch.cat([torch.ones_like(times[:, :1]), times], dim=1)
            azimuths = torch.cat([torch.zeros_like(azimuth[:, :1]), azimuth], dim=1)
        sets, frames = azimuths.shape

        padded = pad_to_patches(views.flatten(0, 1), c.patch_size)  # (B, F, C, H, W) → (B·F, C, H', W')
        grid = padded.shape[-2] // c.patch_size, padded.shape[-1] // c.patch_size
        pooled = masked_mean(text, text_mask) if pooled is None else pooled
        condition = self.t_embedder(times.flatten(), x.dtype) + self.cap_embedder(pooled).repeat_interleave(frames, 0)
        condition = condition + self.azimuth_embedder(azimuths.flatten(), x.dtype)
        positions = positions or [torch.arange(n, device=x.device) for n in grid]
        tokens = self.x_embedder(patchify(padded, c.patch_size))
        tokens = run_layers(
            self.layers,
            tokens,
            text=text,
            condition=condition,
            rotary=self.rotary(rope, t, positions, sets, frames),
            text_mask=None if text_mask is None else additive_mask(text_mask.to(x.device), x.dtype),
            attend=across_frames(attend, frames),
            temperature=rope.temperature(tokens.shape[1]),  # stretched is the view, not their number
            pool=drop.pool(grid) if drop else None,
            dropping=dropping,
            cross=across_frames(cross or attend, frames),
            replace=replace,
        )
        out = unpatchify(self.final_layer(tokens, condition), c.patch_size, grid)
        out = out[:, : c.in_channels, : x.shape[-2], : x.shape[-1]].unflatten(0, (sets, frames))
        return out if image is None else out[:, 1:]

    def rotary(self, rope: RopeScaling, t: Tensor, positions: Sequence[Tensor], sets: int, frames: int) -> Tensor:
        """Return the rotary table (2, 1 or B·F, tokens of a frame, head_dim / 2), that of the set's t for all frames.

        `rope` scales rows and columns; frames are not stretched.
        """
        times = t if rope.method.startswith("time_aware") else t.new_zeros(())  # one table does for a batch
        thetas = [rope.frequencies(self.config.head_dim, times, self.rope_axes, axis) for axis in range(2)]
        if self.rope_axes == 2:
            table = rotary_table(positions, thetas)
            return table if table.shape[1] == 1 else table.repeat_interleave(frames, dim=1)
        counted = torch.arange(frames, device=t.device)
        still = PLAIN.frequencies(self.config.head_dim, t.new_zeros(()), axes=3)
        table = rotary_table_3d([counted, *positions], [still, *thetas])  # (2, 1 or B, F·H·W, head_dim / 2)
        table = table.unflatten(2, (frames, -1)).expand(-1, sets, -1, -1, -1)
        return table.flatten(1, 2)

    def check(self, channels: int, text_dim: int) -> None:
        """Raise ValueError if latents or text features do not fit this model."""
        self.config.check_inputs(channels, text_dim)


def check_rope_axes(rope_axes: int, head_dim: int) -> None:
    """Raise ValueError unless RoPE of so many axes is known and fits the width of a head."""
    if rope_axes not in ROPE_AXES:
        raise ValueError(f"rope_axes must be 2 (row, column) or 3 (frame, row, column), got {rope_axes!r}")
    if head_dim % (2 * rope_axes):
        raise ValueError(
            f"{rope_axes}-D RoPE needs head_dim (dim / n_heads) to be divisible by {2 * rope_axes}, got {head_dim}"
        )


def check_shapes(x: Tensor, t: Tensor, azimuth: Tensor, text: Tensor, image: Tensor | None) -> None:
    """Raise ValueError unless the inputs of a MultiViewNextDiT are of the same number of sets and views."""
    if x.ndim != 5:
        raise ValueError(f"views must have the shape (sets, views, channels, height, width), got {tuple(x.shape)}")
    sets, count = x.shape[:2]
    if tuple(azimuth.shape) != (sets, count):
        raise ValueError(
            f"{sets} sets of {count} views need azimuths of shape ({sets}, {count}), got {tuple(azimuth.shape)}: "
            "give one azimuth a view"
        )
    for name, given in (("time", t), ("text", text)):
        if len(given) != sets:
            raise ValueError(f"{sets} sets of views need {sets} rows of {name}, got {len(given)}: give one row a set")
    expected = (sets, *x.shape[2:])
    if image is not None and tuple(image.shape) != expected:
        raise ValueError(
            f"the condition image must have the shape of one view of each set, {expected}, got {tuple(image.shape)}: "
            "scale it to the views' size"
        )
