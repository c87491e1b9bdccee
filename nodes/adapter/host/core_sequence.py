"""Where the image being sampled stands in the one sequence of a core network.

What is known to be in NextDiT's: [texts | features of references | references | frames of the image | Ming's references
| padding]. Texts, features, references, and the image with Ming's references are each filled up to a multiple, and each
has a call of the position embedding. The other families' are in `Joint`, `Causal` and `Video`, which have one call for
all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from .wrappers import token_grid

Conds = Mapping[str, Any]
"""What a call of the network gets beside latent and text: ref_latents, ref_contexts, siglip_feats, ref_frames …"""


@dataclass(frozen=True)
class ImageTokens:
    """The tokens of the image being sampled: `frames` times a grid of (rows, columns), and what is around them.

    `after` are the tokens of references that follow it, `padded` is what image, those and padding take together.
    `first` is set where nothing precedes it, `joint` where one call of the position embedding is for everything,
    `by_part` where texts, references and image attend each in a call of their own, to themselves and what precedes.
    """

    frames: int
    grid: tuple[int, int]
    after: int
    padded: int
    first: bool = False
    joint: bool = False
    by_part: bool = False

    @property
    def count(self) -> int:
        return self.frames * math.prod(self.grid)

    def among(self, length: int) -> slice | None:
        """Return where it is among the `length` positions of a call of the embedding, None if it is not there."""
        start = 0 if self.first or not self.joint else length - self.padded
        found = length >= self.padded if self.joint else length == self.padded
        return slice(start, start + self.count) if found else None


class Sequence(Protocol):
    """How a family lays out its one sequence."""

    def image(self, x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
        """Return the tokens of a latent x (B, C, H, W) or (B, C, F, H, W) in a call of a network."""

    def before(self, network: nn.Module, text: Tensor | None, conds: Conds) -> int:
        """Return how many tokens precede the image's, as far as a text (B, L, D) and the conds tell."""

    def plain_calls(self, network: nn.Module, conds: Conds) -> int:
        """Return how many calls of the embedder are for references in front of the image."""


class NextDiTSequence:
    """NextDiT's, with a call of the embedder for each part; in early releases one for all (core_trial.py)."""

    def image(self, x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
        return image_tokens(x, network, conds)

    def before(self, network: nn.Module, text: Tensor | None, conds: Conds) -> int:
        return tokens_before(network, text, conds)

    def plain_calls(self, network: nn.Module, conds: Conds) -> int:
        return reference_calls(network, conds)


@dataclass(frozen=True)
class Joint:
    """[text | image | references], or with `first` [image | text].

    `references` names the argument that has those after the image, "" where none are; `frames_apart` that frames are
    rows of a batch, and references are left out unless there is a method for them (Krea 2); `refused` arguments whose
    tokens stand between the image's; `patch` how many cells of the latent a token is wide, where not as many as the
    network says (Lens, whose latents come in patches).
    """

    first: bool = False
    references: str = ""
    frames_apart: bool = False
    refused: tuple[str, ...] = ()
    patch: int | None = None

    def image(self, x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
        for name in self.refused:
            if conds.get(name) is not None:
                raise RuntimeError(
                    f"the pack's patch nodes cannot tell the image from its reference ({name}) in this model: remove "
                    "the reference, or the node"
                )
        grid = token_grid(x, self.patch or said_patch(network))
        frames = 1 if self.frames_apart else _frames(x)
        refs = conds.get(self.references) or () if self.references else ()
        if self.frames_apart and conds.get(f"{self.references}_method", network.default_ref_method) is None:
            refs = ()  # the network leaves them out
        count, after = frames * math.prod(grid), sum(_tokens(ref, network) for ref in refs)
        return ImageTokens(frames, grid, after, count + after, self.first, joint=True)

    def before(self, network: nn.Module, text: Tensor | None, conds: Conds) -> int:
        return 0 if self.first or text is None else text.shape[1]

    def plain_calls(self, network: nn.Module, conds: Conds) -> int:
        return 0


class Causal:
    """[text, references at their places in it | image], a part a call of attention, of networks without patches.

    Qwen-Image-2.1's. From the second step on the image's call alone may run, over keys kept of what precedes it.
    """

    patch = 1

    def image(self, x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
        grid = token_grid(x, self.patch)
        count = math.prod(grid)
        return ImageTokens(1, grid, 0, count, joint=True, by_part=True)

    def before(self, network: nn.Module, text: Tensor | None, conds: Conds) -> int:
        references = sum(math.prod(token_grid(ref, self.patch)) for ref in conds.get("ref_latents") or ())
        return references + (0 if text is None else text.shape[1])

    def plain_calls(self, network: nn.Module, conds: Conds) -> int:
        return 0


class Video:
    """[frames | references], the text apart; frames of a reference in front, of the image's size, count as frames."""

    def image(self, x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
        grid, frames, joined = token_grid(x, said_patch(network)), _frames(x), conds.get("time_dim_concat")
        frames += _frames(joined) if joined is not None else 0
        frames += getattr(network, "ref_conv", None) is not None and conds.get("reference_latent") is not None
        after = sum(_tokens(ref, network) for ref in conds.get("context_latents") or ())
        return ImageTokens(frames, grid, after, frames * math.prod(grid), first=True)

    def before(self, network: nn.Module, text: Tensor | None, conds: Conds) -> int:
        return 0

    def plain_calls(self, network: nn.Module, conds: Conds) -> int:
        return 0


def said_patch(network: nn.Module) -> int:
    """Return how many cells of the latent one token is wide by what a network says."""
    patch = network.patch_size if hasattr(network, "patch_size") else network.patch  # Krea 2's name
    return patch[-1] if isinstance(patch, tuple | list) else patch  # of video: (time, rows, columns)


def image_tokens(x: Tensor, network: nn.Module, conds: Conds) -> ImageTokens:
    """Return the tokens of a latent x (B, C, H, W) or (B, C, F, H, W) in a call of core's NextDiT."""
    grid, frames = token_grid(x, network.patch_size), _frames(x)
    after = sum(_tokens(ref, network) for ref in conds.get("ref_frames") or ())
    return ImageTokens(frames, grid, after, _filled(frames * math.prod(grid) + after, network))


def tokens_before(network: nn.Module, text: Tensor | None, conds: Conds) -> int:
    """Return how many tokens precede the image's in a call with text features (B, L, D): texts and references."""
    refs = conds.get("ref_latents") or ()
    contexts = list(conds.get("ref_contexts") or ()) if refs else []
    contexts += [None] * (len(refs) - len(contexts))
    count = _text_tokens(text, network, conds.get("direct_context"))  # Ming-Image has more text
    count += sum(_text_tokens(context, network) for context in contexts)
    count += sum(_filled(_tokens(ref, network), network) for ref in refs)
    if refs and getattr(network, "siglip_embedder", None) is not None:
        features = [*(conds.get("siglip_feats") or ())][: len(refs)]
        shown = [math.prod(x.shape[1:3]) if x is not None else 0 for x in features]  # (B, H, W, D)
        shown += [0] * (len(refs) + 1 - len(features))  # and the image itself has none
        count += sum(_filled(length, network) or _multiple(network) for length in shown)
    return count


def reference_calls(network: nn.Module, conds: Conds) -> int:
    """Return how many calls of the rope embedder are for references in front of the image: text, features, image."""
    parts = 2 + (getattr(network, "siglip_embedder", None) is not None)
    return parts * len(conds.get("ref_latents") or ())


def check_length(tokens: ImageTokens, before: int, length: int, what: str) -> int:
    """Return where the image begins in a sequence of `length` queries.

    Raises RuntimeError, naming `what`, if it has more or less than is known of. Of joint sequences only the end is:
    other nodes add to the text (USO), or keep references for later steps (Flux KV Cache), which then have no queries.
    Of those that attend by part the queries are the image's.
    """
    if tokens.by_part and length == tokens.count:
        return 0
    after_text = tokens.joint and not tokens.first
    if after_text and length == before + tokens.count:
        return before
    start = length - tokens.padded if after_text else before
    expected = max(length, tokens.padded) if tokens.joint or tokens.first else before + tokens.padded
    if length != expected:
        raise RuntimeError(
            f"{what} cannot tell the image from the rest of this model's sequence: it has {length} tokens, but text, "
            f"references and image are {expected}; remove the node, or update the pack if this ComfyUI is newer"
        )
    return start


def _frames(x: Tensor) -> int:
    return x.shape[2] if x.ndim == 5 else 1


def _tokens(x: Tensor, network: nn.Module) -> int:
    return _frames(x) * math.prod(token_grid(x, said_patch(network)))


def _text_tokens(text: Tensor | None, network: nn.Module, more: Tensor | None = None) -> int:
    if text is None:  # padding alone
        return _multiple(network)
    return _filled(text.shape[1] + (0 if more is None else more.shape[1]), network)


def _multiple(network: nn.Module) -> int:
    return getattr(network, "pad_tokens_multiple", None) or 1


def _filled(count: int, network: nn.Module) -> int:
    return -(-count // _multiple(network)) * _multiple(network)
