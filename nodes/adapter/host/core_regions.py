"""Several texts in one call of core's joint-attention networks, each heard by the image's tokens in its own region.

The texts follow one another in front of the image. What attends to the same keys attends together, without a mask:

    a text and the image's tokens that hear it    that text and everything that is no text
    padding and references                        the same as the global prompt; without one, no text

A token in several regions attends once for each, and has the sum by its shares. In layers among text tokens alone every
text is on its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .core_attention import EditRequest, LayerNumbers, Place, for_one_layer, overriding
from .core_families import CoreFamily, family_of
from .core_sequence import check_length

REGIONS = "Regional Prompt"


@dataclass(frozen=True)
class Group:
    """Queries `rows` that attend to `keys`, and the share (B or 1, rows) that the result is of theirs, None for all."""

    rows: Tensor
    keys: Tensor
    share: Tensor | None = None


@dataclass(frozen=True)
class HeardTexts:
    """The texts of one call: their lengths, and how much (B or 1, T, N) of each the image's tokens hear.

    With `has_global` the first is the global prompt. Shares are on the CPU, where reading them waits for nothing.
    """

    lengths: tuple[int, ...]
    shares: Tensor
    has_global: bool

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def groups(self, length: int, keys: int, image: slice, frames: int, device: torch.device) -> list[Group]:
        """Return the groups of `length` queries and so many keys; `image` is where its tokens are, `frames` times N."""
        rest = torch.cat([torch.arange(self.tokens, image.start), torch.arange(image.stop, length)])
        shared = torch.arange(self.tokens, keys)
        groups, start = [], 0
        for i, tokens in enumerate(self.lengths):
            text = torch.arange(start, start + tokens)
            around = rest if self.has_global and i == 0 else rest[:0]
            share = self.shares[:, i].repeat(1, frames) if image.stop > image.start else self.shares[:, i, :0]
            heard = (share > 0).any(dim=0).nonzero().flatten()
            parts = share.new_ones(len(share), tokens), share[:, heard], share.new_ones(len(share), len(around))
            whole = torch.cat(parts, dim=1)
            rows = torch.cat([text, heard + image.start, around])
            weights = None if bool((whole == 1.0).all()) else whole.to(device)
            groups.append(Group(rows.to(device), torch.cat([text, shared]).to(device), weights))
            start += tokens
        if not self.has_global and len(rest):
            groups.append(Group(rest.to(device), shared.to(device)))
        return groups


def attend_grouped(attend: Callable, q, k, v, heads: int, mask: Tensor | None, groups: list[Group], **kwargs) -> Tensor:
    """Attend group by group; attend and its arguments are those of core's attention functions."""
    axis = 2 if kwargs.get("skip_reshape") else 1
    axis_out = 2 if kwargs.get("skip_output_reshape") else 1
    out = None
    for group in groups:
        own = [x.index_select(axis, at) for x, at in ((q, group.rows), (k, group.keys), (v, group.keys))]
        part = attend(*own, heads, mask=_cut(mask, group, q.shape[axis]), **kwargs)
        if out is None:
            out = part.new_zeros([*part.shape[:axis_out], q.shape[axis], *part.shape[axis_out + 1 :]])
        if group.share is None:
            out.index_copy_(axis_out, group.rows, part)
        else:
            share = group.share.to(part.dtype)[..., None]
            out.index_add_(axis_out, group.rows, part * (share.unsqueeze(1) if axis_out == 2 else share))
    assert out is not None
    return out


def _cut(mask: Tensor | None, group: Group, length: int) -> Tensor | None:
    """Return a mask (…, 1 or L, K) for a group of L queries."""
    if mask is None:
        return None
    if mask.ndim > 2 and mask.shape[-2] == length > 1:
        mask = mask.index_select(-2, group.rows)
    return mask.index_select(-1, group.keys)


def regional_attention(key: str, network: nn.Module) -> Callable:
    """Return the DIFFUSION_MODEL wrapper that lets the regions of a call with a request (HeardTexts) hear their texts.

    It stands in front of all others, so that their edits of attention (pooled keys) come before its own.
    """
    family = family_of(network)
    assert family is not None

    def make_override(place: Place, request: EditRequest, previous: Callable) -> Callable:
        return joint_override(place, request, previous, network, family)

    return overriding(key, REGIONS, make_override, network, family)


def joint_override(place: Place, request: EditRequest, previous: Callable, network: nn.Module, family: CoreFamily):
    """Return the attention override of one call."""
    heard: HeardTexts = request.value
    layers, text_calls, unnamed = LayerNumbers(network, family), family.text_calls(network), 0
    known: dict[tuple, list[Group]] = {}

    def grouped(length: int, keys: int, image: slice, device: torch.device) -> list[Group]:
        asked = (length, keys, image.start, image.stop)
        if asked not in known:
            known[asked] = heard.groups(length, keys, image, place.tokens.frames, device)
        return known[asked]

    def override(func, q, k, v, heads, mask=None, **kwargs):
        request.attended = True
        options = kwargs["transformer_options"]
        main = layers.number(options) is not None
        if not main:
            nonlocal unnamed
            unnamed += 1
            if not text_calls.start < unnamed <= text_calls.stop:
                return previous(func, q, k, v, heads, mask=mask, **kwargs)
        one = for_one_layer(previous, options)
        axis = 2 if kwargs.get("skip_reshape") else 1
        length, keys = q.shape[axis], k.shape[axis]
        image = slice(length, length)
        if main:
            request.done = True
            start = check_place(place, heard, length)
            image = slice(start, start + place.tokens.count)
        groups = grouped(length, keys, image, q.device)
        return attend_grouped(lambda *args, **more: one(func, *args, **more), q, k, v, heads, mask, groups, **kwargs)

    return torch.compiler.disable(override)  # which rows attend together is read from tensors


def check_place(place: Place, heard: HeardTexts, length: int) -> int:
    """Return where the image begins. Raises RuntimeError if another node added tokens to the texts."""
    start = check_length(place.tokens, place.before, length, REGIONS)
    if start != place.before or start < heard.tokens:
        raise RuntimeError(
            f"{REGIONS} cannot tell the texts from the rest of this model's sequence: {heard.tokens} tokens of text "
            f"were given, but {start} stand in front of the image; remove the node that adds them, or the regions"
        )
    return start
