"""Scaled RoPE on core's own Lumina-Image-2.0, Z-Image and Ming-Image.

Doors: an object patch of `diffusion_model.rope_embedder`, a module that turns position ids (B, N, 3) into rotations
(B, 1, N, head_dim / 2, 2, 2), called once for every text and image; an APPLY_MODEL wrapper, which knows size and sigma
of every call. The first axis counts text tokens (an image stands on one value of it) and stays as it is; rows and
columns are 0 for text, so whatever their frequencies are, text does not turn by them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ....nextdit.layers.rope import Axes
from .core_attention import Edit, EditRequest, Place, check_main_layers, editing, run_with_request
from .core_sequence import ImageTokens, image_tokens, reference_calls
from .time import flow_time
from .wrappers import replace_wrapper

EMBEDDER = "diffusion_model.rope_embedder"


@dataclass
class Turn:
    """What one call of the network turns by: the rows' and columns' frequencies, for the image and not for references.

    `plain` is how many of the embedder's next calls are for references, `ran` whether it was called after those, and
    `found` whether for as many tokens as the image has.
    """

    thetas: Sequence[Tensor]
    image: ImageTokens
    plain: int
    ran: bool = False
    found: bool = False


Calls = dict[torch.device, Turn]
"""The call that runs on a device; empty between calls."""


class ScaledEmbedder(nn.Module):
    """A model's rope embedder, whose rows and columns turn by the frequencies of the call, where `calls` has any."""

    def __init__(self, plain: nn.Module, calls: Calls):
        super().__init__()
        self.plain, self.calls = plain, calls

    def forward(self, ids: Tensor) -> Tensor:
        table = self.plain(ids)  # (B, 1, N, head_dim / 2, 2, 2)
        turn = self.calls.get(ids.device)
        if turn is None:
            return table
        if turn.plain:
            turn.plain -= 1
            return table
        turn.ran = True
        if ids.shape[1] != turn.image.padded:
            return self.scaled(ids, table, turn.thetas)
        turn.found = True
        count, after = turn.image.count, turn.image.after
        if not after:
            return self.scaled(ids, table, turn.thetas)
        return torch.cat([self.scaled(ids[:, :count], table[:, :, :count], turn.thetas), table[:, :, count:]], dim=2)

    def scaled(self, ids: Tensor, table: Tensor, thetas: Sequence[Tensor]) -> Tensor:
        """Return the rotations of ids (B, N, 3) with rows and columns turned by thetas instead."""
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


def axes_of(embedder: nn.Module) -> Axes:
    """Return the axes of one of core's rope embedders: text, rows, columns."""
    return Axes(tuple(embedder.axes_dim), float(embedder.theta))


def plain_embedder(model) -> nn.Module:
    """Return a MODEL's rope embedder without what an earlier node of this kind put around it.

    Raises RuntimeError if it is of an unknown kind.
    """
    plain = model.get_model_object(EMBEDDER)
    plain = plain.plain if isinstance(plain, ScaledEmbedder) else plain
    if len(getattr(plain, "axes_dim", ())) != 3 or not hasattr(plain, "theta"):
        raise RuntimeError(
            f"Scaled RoPE does not know the position embedding {type(plain).__name__} of this model: another node "
            "replaced it (remove that node), or this release of ComfyUI changed it (update this pack)"
        )
    return plain


def patch_core(patched, network, settings, key: str, tell) -> None:
    """Hook scaled RoPE into a clone of a core MODEL; tell(grid) is called with the size of every call.

    Raises RuntimeError if this ComfyUI has moved the doors.
    """
    plain = plain_embedder(patched)
    if settings.proportional:
        check_main_layers(PROPORTIONAL)
    calls: Calls = {}

    def hand_over(executor, x, t, *args, **kwargs):
        image = image_tokens(x, network, kwargs)
        tell(image.grid)
        rope = settings.at(image.grid)
        if rope is None:
            return executor(x, t, *args, **kwargs)
        turn = None
        if rope.method != "extrapolation":
            times = flow_time(t.to(x.device).float())
            thetas = rope.thetas(axes_of(plain), times, still=1)[1:]
            turn = calls[x.device] = Turn(thetas, image, reference_calls(network, kwargs))
        try:
            if rope.proportional:
                request = EditRequest(rope.logit_scale(math.prod(image.grid)))
                result = run_with_request(key, PROPORTIONAL, request, executor, x, t, *args, **kwargs)
            else:
                result = executor(x, t, *args, **kwargs)
        finally:
            calls.pop(x.device, None)
        check_found(turn)
        return result

    patched.add_object_patch(EMBEDDER, ScaledEmbedder(plain, calls))
    replace_wrapper(patched, WrappersMP.APPLY_MODEL, key, hand_over)
    patched.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, key)
    if settings.proportional:
        patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, key, editing(key, PROPORTIONAL, _stretch))


PROPORTIONAL = "Proportional attention"


def check_found(turn: Turn | None) -> None:
    """Raise RuntimeError if a call had positions, but none for as many tokens as the image has."""
    if turn is not None and turn.ran and not turn.found:
        raise RuntimeError(
            f"Scaled RoPE cannot tell the image's positions from the rest: none of this model's parts has the "
            f"{turn.image.padded} tokens that the image is; remove the node, or update the pack if this "
            "ComfyUI is newer"
        )


def _stretch(place: Place, logit_scale: float) -> Edit:
    """Return the edit of proportional attention: the image's queries × logit_scale.

    Text and image share one softmax here, so the image's look at the text is stretched along (our definition).
    """
    count = place.tokens.count

    def edit(q, k, v, mask, layer):
        start = place.start(q)
        text, image, rest = q[:, :, :start], q[:, :, start : start + count], q[:, :, start + count :]
        return torch.cat([text, image * logit_scale, rest], dim=2), k, v, mask

    return edit
