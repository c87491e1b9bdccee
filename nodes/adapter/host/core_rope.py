"""Scaled RoPE on core's own models.

Doors: an object patch of the position embedding (core_families.py), a module that turns position ids (B, N, axes) into
rotations; an APPLY_MODEL wrapper, which knows size and sigma of every call. Rows and columns of the image turn by other
frequencies; text, references and all other axes stay as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ....nextdit.layers.rope import Axes
from .core_attention import Edit, EditRequest, Place, check_main_layers, editing, run_with_request
from .core_family import CoreFamily
from .core_sequence import ImageTokens, NextDiTSequence
from .core_tables import spread
from .core_trial import tried
from .time import flow_time
from .wrappers import replace_wrapper


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

    @property
    def batch(self) -> int:
        """Rows that a table needs: one a time, where they differ."""
        return max(theta.shape[0] if theta.ndim > 1 else 1 for theta in self.thetas)

    def next_call(self, length: int) -> slice | None:
        """Return where the image is among the `length` positions of the embedder's next call, None if not there."""
        if self.plain:
            self.plain -= 1
            return None
        self.ran = True
        if self.found and self.image.first:  # a reference of the image's size
            return None
        place = self.image.among(length)
        self.found |= place is not None
        return place


Calls = dict[torch.device, Turn]
"""The call that runs on a device; empty between calls."""


class ScaledEmbedder(nn.Module):
    """A model's position embedding, whose rows and columns turn by the frequencies of the call, if `calls` has any."""

    def __init__(self, plain: nn.Module, calls: Calls, family: CoreFamily):
        super().__init__()
        self.plain, self.calls, self.family = plain, calls, family
        self.axes_dim, self.theta = plain.axes_dim, plain.theta  # which core's Wan reads

    def forward(self, ids: Tensor) -> Tensor:
        table = self.plain(ids)
        turn = self.calls.get(ids.device)
        if turn is None:
            return table
        place = turn.next_call(ids.shape[1])
        if place is None:
            return spread(table, turn.batch)
        rows = self.family.axes.index("rows")
        turned = dict(enumerate(turn.thetas, start=rows))
        return self.family.table.turned(table, place, ids, turned, self.plain.axes_dim)


def axes_of(embedder: nn.Module) -> Axes:
    """Return the axes of one of core's position embeddings."""
    return Axes(tuple(embedder.axes_dim), float(embedder.theta))


def plain_embedder(model, family: CoreFamily) -> nn.Module:
    """Return a MODEL's position embedding without what an earlier node of this kind put around it.

    Raises RuntimeError if it is of an unknown kind.
    """
    plain = model.get_model_object(embedder_path(family))
    plain = plain.plain if isinstance(plain, ScaledEmbedder) else plain
    if len(getattr(plain, "axes_dim", ())) != len(family.axes) or not hasattr(plain, "theta"):
        raise RuntimeError(
            f"Scaled RoPE does not know the position embedding {type(plain).__name__} of this model: another node "
            "replaced it (remove that node), or this release of ComfyUI changed it (update this pack)"
        )
    return plain


def embedder_path(family: CoreFamily) -> str:
    """Return where the position embedding of a family is in a MODEL."""
    return f"diffusion_model.{family.embedder}"


def patch_core(patched, network, family: CoreFamily, settings, key: str, tell, or_say=None) -> None:
    """Hook scaled RoPE into a clone of a core MODEL; tell(grid) is called with the size of every call.

    `or_say` hears what keeps proportional attention from a call; None where that is an error. Raises ValueError if
    that attention is asked of a family that has no way in, RuntimeError if this ComfyUI has moved the doors.
    """
    plain = plain_embedder(patched, family)
    if settings.proportional:
        check_main_layers(PROPORTIONAL, family)
    calls: Calls = {}
    at_once = isinstance(family.sequence, NextDiTSequence) and tried().embeds_at_once

    def hand_over(executor, x, t, *args, **kwargs):
        image = family.sequence.image(x, network, kwargs)
        image = replace(image, joint=True) if at_once else image
        tell(image.grid)
        rope = settings.at(image.grid)
        if rope is None:
            return executor(x, t, *args, **kwargs)
        turn = None
        if rope.method != "extrapolation":
            times = flow_time(t.to(x.device).float())
            rows = family.axes.index("rows")
            thetas = rope.thetas(axes_of(plain), times, still=rows)[rows : rows + 2]
            turn = calls[x.device] = Turn(thetas, image, family.sequence.plain_calls(network, kwargs))
        try:
            if rope.proportional:
                request = EditRequest(rope.logit_scale(math.prod(image.grid)), or_say)
                result = run_with_request(key, PROPORTIONAL, request, executor, x, t, *args, **kwargs)
            else:
                result = executor(x, t, *args, **kwargs)
        finally:
            calls.pop(x.device, None)
        check_found(turn)
        return result

    patched.add_object_patch(embedder_path(family), ScaledEmbedder(plain, calls, family))
    replace_wrapper(patched, WrappersMP.APPLY_MODEL, key, hand_over)
    patched.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, key)
    if settings.proportional:
        edit = editing(key, PROPORTIONAL, _stretch, network, family)
        patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, key, edit)


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
