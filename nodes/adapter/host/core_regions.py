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

from .core_attention import EditRequest, LayerNumbers, Place, overriding, token_axis
from .core_families import family_of
from .core_family import CoreFamily
from .core_preferred import for_one_layer
from .core_sequence import check_length
from .lasting import lasting

REGIONS = "Regional Prompt"


@dataclass(frozen=True)
class Group:
    """Queries `rows` that attend to `keys`, and the share (B or 1, rows) that the result is of theirs, None for all."""

    rows: Tensor
    keys: Tensor
    share: Tensor | None = None

    def after(self, first: int) -> "Group | None":
        """Return the queries from number `first` on, counted from there; None if there are none."""
        kept = (self.rows >= first).nonzero().flatten()
        share = self.share if self.share is None else self.share.index_select(1, kept)
        return Group(self.rows[kept] - first, self.keys, share) if len(kept) else None

    def to(self, device: torch.device) -> "Group":
        """Return it on a device, without shares where all are whole."""
        share = None if self.share is None or bool((self.share == 1.0).all()) else self.share.to(device)
        return Group(self.rows.to(device), self.keys.to(device), share)


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
        """Return the groups of `length` queries and so many keys; `image` is where its tokens are, `frames` times N.

        They are the first queries, or the last ones where the image goes past them.
        """
        first = max(image.stop - length, 0)
        groups = [group.after(first) for group in self.whole_groups(length + first, keys, image, frames)]
        return [group.to(device) for group in groups if group is not None]

    def whole_groups(self, length: int, keys: int, image: slice, frames: int) -> list[Group]:
        """Return the groups of the queries of a whole sequence, on the CPU."""
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
            groups.append(Group(rows, torch.cat([text, shared]), whole))
            start += tokens
        if not self.has_global and len(rest):
            groups.append(Group(rest, shared))
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
    if mask.shape[-2] == length > 1:
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
    if place.tokens.by_part:
        check_no_references(place, heard)

    def grouped(length: int, keys: int, image: slice, device: torch.device) -> list[Group]:
        asked = (length, keys, image.start, image.stop)
        if asked not in known:
            with lasting():  # for all layers
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
        axis = token_axis(kwargs)
        length, keys = q.shape[axis], k.shape[axis]
        image = slice(length, length)
        request.numbered |= main
        if main and place.attends(length, keys):
            request.done = True
            start = check_place(place, heard, length, keys)
            image = slice(start, start + place.tokens.count)
        groups = grouped(length, keys, image, q.device)
        return attend_grouped(lambda *args, **more: one(func, *args, **more), q, k, v, heads, mask, groups, **kwargs)

    return torch.compiler.disable(override)  # which rows attend together is read from tensors


def check_place(place: Place, heard: HeardTexts, length: int, keys: int) -> int:
    """Return where the image begins in the sequence. Raises RuntimeError if another node added tokens to the texts."""
    if place.tokens.by_part:
        start = max(keys - length, place.before)  # there are fewer keys where another node pooled the image's
    else:
        start = check_length(place.tokens, place.before, length, REGIONS)
    check_texts(heard, start, place.before)
    return start


def check_texts(heard: HeardTexts, found: int, expected: int) -> None:
    """Raise RuntimeError if there is not what is expected in front of the image, or less than the texts."""
    if found != expected or found < heard.tokens:
        raise RuntimeError(
            f"{REGIONS} cannot tell the texts from the rest of this model's sequence: {heard.tokens} tokens of text "
            f"were given, but {found} stand in front of the image; remove the node that adds them, or the regions"
        )


def check_no_references(place: Place, heard: HeardTexts) -> None:
    """Raise ValueError if references stand among the texts."""
    if place.before != heard.tokens:
        raise ValueError(
            f"{REGIONS} cannot go together with reference pictures on this model, which stand among the tokens of its "
            "text: remove one of the two"
        )
