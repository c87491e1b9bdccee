"""Several texts in one call of core's networks that attend to the text apart, each heard by the tokens of its region.

The texts follow one another in the context. Self-attention stays as it is; in the attention to the text each text
answers the queries of the frames' tokens that hear it, by their shares. What is no part of the clip that is made
(references) hears the first text.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .core_attention import EditRequest, LayerNumbers, Place, overriding, token_axis
from .core_families import family_of
from .core_family import CoreFamily
from .core_preferred import for_one_layer
from .core_regions import REGIONS, Group, attend_grouped
from .core_sequence import check_length
from .lasting import lasting


@dataclass(frozen=True)
class ApartTexts:
    """The texts of one call: their lengths, and how much (B or 1, T, N) of each the clip's tokens hear, on the CPU.

    `ahead` tokens of references stand in front of the clip's; `picture_tokens` are those of a picture that layers
    attend to before the text, 0 without one.
    """

    lengths: tuple[int, ...]
    shares: Tensor
    ahead: int = 0
    picture_tokens: int = 0

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def groups(self, length: int, device: torch.device) -> list[Group]:
        """Return the groups of `length` queries, with keys among the texts' alone."""
        clip = slice(self.ahead, self.ahead + self.shares.shape[-1])
        rest = torch.cat([torch.arange(0, clip.start), torch.arange(clip.stop, length)])
        groups, start = [], 0
        for i, tokens in enumerate(self.lengths):
            share, around = self.shares[:, i], rest if i == 0 else rest[:0]
            heard = (share > 0).any(dim=0).nonzero().flatten()
            weights = torch.cat([share[:, heard], share.new_ones(len(share), len(around))], dim=1)
            keys = torch.arange(start, start + tokens)
            groups.append(Group(torch.cat([heard + clip.start, around]), keys, weights).to(device))
            start += tokens
        return groups


def regional_attention_apart(key: str, network: nn.Module) -> Callable:
    """Return the DIFFUSION_MODEL wrapper that lets a call with a request (ApartTexts) hear its texts by region."""
    family = family_of(network)
    assert family is not None

    def make_override(place: Place, request: EditRequest, previous: Callable) -> Callable:
        return apart_override(place, request, previous, network, family)

    return overriding(key, REGIONS, make_override, network, family)


def apart_override(place: Place, request: EditRequest, previous: Callable, network: nn.Module, family: CoreFamily):
    """Return the attention override of one call: a layer attends to itself, to a picture if there is one, to texts."""
    heard: ApartTexts = request.value
    layers, known, since = LayerNumbers(network, family), {}, 0

    def groups(length: int, device: torch.device) -> list[Group]:
        if length not in known:
            check_length(place.tokens, place.before, length, REGIONS)
            with lasting():  # for all layers
                known[length] = heard.groups(length, device)
        return known[length]

    def override(func, q, k, v, heads, mask=None, **kwargs):
        nonlocal since
        request.attended = True
        options = kwargs["transformer_options"]
        first = layers.number(options) is not None
        since = 0 if first else since + 1
        request.numbered |= first
        to_text = since == (2 if heard.picture_tokens else 1) and options.get("block_type") in layers.first
        axis = token_axis(kwargs)
        if not to_text or k.shape[axis] != heard.tokens:
            return previous(func, q, k, v, heads, mask=mask, **kwargs)
        request.done = True
        one = for_one_layer(previous, options)
        found = groups(q.shape[axis], q.device)
        return attend_grouped(lambda *args, **more: one(func, *args, **more), q, k, v, heads, mask, found, **kwargs)

    return torch.compiler.disable(override)  # which rows attend together is read from tensors
