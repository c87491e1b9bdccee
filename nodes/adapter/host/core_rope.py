"""Scaled RoPE on core's own Lumina-Image-2.0 and Z-Image.

Doors: an object patch of `diffusion_model.rope_embedder`, a module that turns position ids (B, N, 3) into rotations
(B, 1, N, head_dim / 2, 2, 2); an APPLY_MODEL wrapper, which knows size and sigma of every call. The first axis counts
text tokens (an image stands on one value of it) and stays as it is; rows and columns are 0 for text, so whatever their
frequencies are, text does not turn by them.
"""

import math
from collections.abc import Sequence

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ....nextdit.layers.rope import RopeScaling, axis_exponents
from ..patches.patchable import replace_wrapper, token_grid
from .core_attention import Edit, Order, check_main_layers, editing, image_start, run_order

EMBEDDER = "diffusion_model.rope_embedder"
Calls = dict[torch.device, Sequence[Tensor]]
"""The rows' and columns' frequencies of the call that runs on a device; empty between calls."""


class ScaledEmbedder(nn.Module):
    """A model's rope embedder, whose rows and columns turn by the frequencies of the call, where `calls` has any."""

    def __init__(self, plain: nn.Module, calls: Calls):
        super().__init__()
        self.plain, self.calls = plain, calls

    def forward(self, ids: Tensor) -> Tensor:
        table = self.plain(ids)  # (B, 1, N, head_dim / 2, 2, 2)
        thetas = self.calls.get(ids.device)
        if thetas is None:
            return table
        axes = list(table.split([width // 2 for width in self.plain.axes_dim], dim=-3))
        for axis, theta in enumerate(thetas, start=1):
            axes[axis] = rotations(ids[..., axis], theta).unsqueeze(1).to(table.dtype)
        batch = max(part.shape[0] for part in axes)
        return torch.cat([part.expand(batch, *part.shape[1:]) for part in axes], dim=-3)


def rotations(positions: Tensor, theta: Tensor) -> Tensor:
    """Return the rotation matrices of positions (B, N) turning by theta (n,) or (B, n), shape (B, N, n, 2, 2)."""
    angles = positions.float()[..., None] * theta.reshape(-1, 1, theta.shape[-1])  # (B, N, n)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def axis_frequencies(rope: RopeScaling, t: Tensor, axes_dim: Sequence[int], base: float) -> list[Tensor]:
    """Return the rows' and columns' frequencies at times t (B,), (n,) or (B, n) each, on t's device."""
    times = t if rope.method.startswith("time_aware") else t.new_zeros(())  # on t's device, so that nothing is copied
    return [
        rope.scale(axis_exponents(width, t.device), sum(axes_dim), times, axis, base)
        for axis, width in enumerate(axes_dim[1:])
    ]


def plain_embedder(model) -> nn.Module:
    """Return a MODEL's rope embedder without what an earlier node of this kind put around it.

    Raises RuntimeError if it is none that we know.
    """
    plain = model.get_model_object(EMBEDDER)
    plain = plain.plain if isinstance(plain, ScaledEmbedder) else plain
    if len(getattr(plain, "axes_dim", ())) != 3 or not hasattr(plain, "theta"):
        raise RuntimeError(
            f"Scaled RoPE does not know the position embedding {type(plain).__name__} of this model: another node "
            "replaced it (remove that node), or this release of ComfyUI changed it (update this pack)."
        )
    return plain


def patch_core(patched, network, settings, key: str) -> None:
    """Hook scaled RoPE into a clone of a core MODEL. Raises RuntimeError if this ComfyUI has moved the doors."""
    plain = plain_embedder(patched)
    if settings.proportional:
        check_main_layers("Proportional attention")
    calls: Calls = {}

    def hand_over(executor, x, t, *args, **kwargs):
        grid = token_grid(x, network.patch_size)
        rope = settings.at(grid)
        if rope is None:
            return executor(x, t, *args, **kwargs)
        if rope.method != "extrapolation":
            times = 1.0 - t.to(x.device).float()
            calls[x.device] = axis_frequencies(rope, times, plain.axes_dim, float(plain.theta))
        try:
            if not rope.proportional:
                return executor(x, t, *args, **kwargs)
            order = Order(rope.temperature(math.prod(grid)))
            return run_order(key, "Proportional attention", order, executor, x, t, *args, **kwargs)
        finally:
            calls.pop(x.device, None)

    patched.add_object_patch(EMBEDDER, ScaledEmbedder(plain, calls))
    replace_wrapper(patched, WrappersMP.APPLY_MODEL, key, hand_over)
    patched.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, key)
    if settings.proportional:
        patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, key, editing(key, _stretch))


def _stretch(x: Tensor, network: nn.Module, temperature: float) -> Edit:
    """Return the edit of proportional attention: the image's queries × temperature.

    Text and image share one softmax here, so the image's look at the text is stretched along (our definition).
    """
    tokens = math.prod(token_grid(x, network.patch_size))

    def edit(q, k, v, mask, layer):
        start = image_start(q, tokens, network)
        text, image, rest = q[:, :, :start], q[:, :, start : start + tokens], q[:, :, start + tokens :]
        return torch.cat([text, image * temperature, rest], dim=2), k, v, mask

    return edit
