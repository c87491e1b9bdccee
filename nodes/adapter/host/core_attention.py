"""The way into attention of core's own models: `optimized_attention_override`.

Their main layers attend over one sequence (core_sequence.py), and say a block_type (core_families.py) and their number
as block_index; refiner layers before them say nothing. Keys and values arrive rotated, by some families with heads and
channels together.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....nextdit.context_drop import average_windows
from .core_family import CoreFamily
from .core_preferred import Preferences
from .core_sequence import ImageTokens, NextDiTSequence, check_length
from .core_trial import tried

OVERRIDE = "optimized_attention_override"
COMPILED = "torch.compile"  # the key under which core's compile node wraps a model
Edit = Callable[[Tensor, Tensor, Tensor, Tensor | None, int], tuple[Tensor, Tensor, Tensor, Tensor | None]]
"""edit(q, k, v, mask, layer) → q, k, v, mask, with q, k, v (B, H, L, D)."""


class EditRequest:
    """What one call's attention is to be edited by, and whether that happened.

    It travels as an argument of the call: torch.compile sees when an argument changes, while core's compile node has
    it overlook changes of transformer_options. `or_say` hears why it did not happen; None where that is an error.
    """

    def __init__(self, value, or_say: Callable[[str], None] | None = None):
        self.or_say = or_say
        self.value, self.sent, self.attended, self.numbered, self.done = value, False, False, False, False


@dataclass(frozen=True)
class Place:
    """Where the image is in the sequence of a call: `tokens` of it after `before` others, for the node `what`."""

    tokens: ImageTokens
    before: int
    what: str

    def start(self, q: Tensor) -> int:
        """Return where it begins in q (B, H, L, D). Raises RuntimeError if there is more than is known of."""
        return check_length(self.tokens, self.before, q.shape[2], self.what)

    def start_in_keys(self, q: Tensor, k: Tensor) -> int:
        """Return where it begins in k (B, H, S, D), which has what precedes q too where parts attend on their own."""
        return self.start(q) + (k.shape[2] - q.shape[2] if self.tokens.by_part else 0)

    def attends(self, queries: int, keys: int) -> bool:
        """Tell whether it is among so many queries of a layer; what precedes it has keys of that and no more."""
        return not self.tokens.by_part or (queries == self.tokens.count and keys > self.before)


def main_layers_say_their_number() -> bool:
    """Tell whether this ComfyUI's Lumina network says which layer attends; 0.3.64's does not."""
    return tried().numbered


def reaches_main_layers(family: CoreFamily) -> bool:
    """Tell whether `check_main_layers` lets a family pass."""
    return not family.closed and (not isinstance(family.sequence, NextDiTSequence) or main_layers_say_their_number())


def check_main_layers(what: str, family: CoreFamily) -> None:
    """Raise ValueError if a family's attention cannot be reached, RuntimeError if this ComfyUI's NextDiT's cannot.

    Both name what cannot be done.
    """
    if family.closed:
        raise ValueError(
            f"{what} cannot reach the attention of {family.name} models, since {family.closed}; turn it off, or use "
            "another model"
        )
    if not reaches_main_layers(family):
        raise RuntimeError(
            f"{what} cannot hook Lumina-Image-2.0 or Z-Image in this release of ComfyUI: their layers do not say which "
            "one attends; update ComfyUI, or this pack where ComfyUI is the latest"
        )


def run_with_request(key: str, what: str, request: EditRequest, executor, *args, **kwargs) -> Tensor:
    """Run an APPLY_MODEL wrapper's executor with a request for the `editing` wrapper of the same key.

    If attention was computed without it: raises RuntimeError, naming `what`, or calls `request.or_say` with that.
    """
    result = executor(*args, **kwargs, **{key: request})
    if request.sent and not request.done:
        error = f"{what} did not reach this model's attention: {_why_not(request, executor, args, kwargs)}"
        if request.or_say is None:
            raise RuntimeError(error)
        request.or_say(error)
    return result


def _why_not(request: EditRequest, executor, args: tuple, kwargs: dict) -> str:
    options = kwargs.get("transformer_options") or next((arg for arg in reversed(args) if isinstance(arg, dict)), {})
    network = executor.class_obj.diffusion_model
    if COMPILED in options.get("wrappers", {}).get("apply_model", {}) or any(map(_is_compiled, network.modules())):
        return (
            "torch.compile cannot trace the attention backend in use and keeps old code; start ComfyUI with "
            "--use-pytorch-cross-attention, or remove the compile node"
        )
    if request.numbered:
        return (
            "no layer attends with as many queries as the picture has tokens; another node splits or replaces that "
            "attention, remove it, or update this pack where ComfyUI is the latest"
        )
    if request.attended:
        return (
            "its layers do not say which one attends in this release of ComfyUI; update ComfyUI, or this pack where "
            "ComfyUI is the latest"
        )
    return (
        "its layers did not run as they are, but were replayed from a recording (a CUDA graph, as Comfy Compiler makes "
        "them) or replaced by another node; turn that off for this model, or remove this pack's node"
    )


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")


def editing(key: str, what: str, make_edit: Callable[[Place, Any], Edit], network: nn.Module, family: CoreFamily):
    """Return a DIFFUSION_MODEL wrapper that edits the main layers' attention in calls with a request.

    make_edit(the image's place, request's value) returns the edit; `what` names the node in errors.
    """

    def make_override(place: Place, request: EditRequest, previous: Callable) -> Callable:
        edit, layers = make_edit(place, request.value), LayerNumbers(network, family)
        return _override(edit, place, request, previous, layers)

    return overriding(key, what, make_override, network, family)


MakeOverride = Callable[[Place, EditRequest, Callable], Callable]
"""make_override(the image's place, the request, the override that has been there) → override."""


def overriding(key: str, what: str, make_override: MakeOverride, network: nn.Module, family: CoreFamily):
    """Return a DIFFUSION_MODEL wrapper that overrides attention in calls with a request."""
    names, preferences = _names_by_place(network), Preferences(network, family)

    def wrapper(executor, x, *args, **kwargs):
        request = kwargs.pop(key, None)
        if request is None:
            return executor(x, *args, **kwargs)
        # core hands some by place and the others by name
        network, given = executor.class_obj, dict(zip(names[: len(args)], args, strict=True))
        conds = given | kwargs
        before = family.sequence.before(network, conds.get("context"), conds)
        place = Place(family.sequence.image(x, network, conds), before, what)
        options = dict(conds["transformer_options"])
        previous = options.get(OVERRIDE) or preferences.override(network, conds)
        options[OVERRIDE] = make_override(place, request, previous)
        # a wrapper further in may skip the network (EasyCache)
        request.sent = executor.idx + 1 == len(executor.wrappers)
        if "transformer_options" in given:
            return executor(x, *(given | {"transformer_options": options}).values(), **kwargs)
        return executor(x, *args, **(kwargs | {"transformer_options": options}))

    return wrapper


def _names_by_place(network: nn.Module) -> list[str]:
    """Return what a network's _forward calls its arguments after x, by forward where a pack has replaced it."""
    for function in (network._forward, network.forward):
        parameters = list(inspect.signature(function).parameters.values())
        if all(parameter.kind is not parameter.VAR_POSITIONAL for parameter in parameters):
            break
    return [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD][1:]


class LayerNumbers:
    """What number the layer has that attends in one call of a network, None for attention to leave alone."""

    def __init__(self, network: nn.Module, family: CoreFamily):
        self.first, self.text_apart = family.first_layers(network), family.text_apart
        self.seen: set[int] = set()

    def number(self, options: dict) -> int | None:
        first = self.first.get(options.get("block_type", ""))
        if first is None:
            return None
        number = first + options["block_index"]
        if self.text_apart:
            if number in self.seen:
                return None
            self.seen.add(number)
        return number


def _override(edit: Edit, place: Place, request: EditRequest, previous: Callable, layers: LayerNumbers) -> Callable:
    def override(func, q, k, v, heads, mask=None, **kwargs):
        request.attended = True
        number, axis = layers.number(kwargs["transformer_options"]), token_axis(kwargs)
        request.numbered |= number is not None
        if number is None or not place.attends(q.shape[axis], k.shape[axis]):
            return previous(func, q, k, v, heads, mask=mask, **kwargs)
        request.done = True
        if kwargs.get("skip_reshape"):
            q, k, v, mask = edit(q, k, v, mask, number)
        else:  # (B, L, H·D)
            width = q.shape[-1] // heads
            q, k, v, mask = edit(*(x.unflatten(-1, (-1, width)).transpose(1, 2) for x in (q, k, v)), mask, number)
            q, k, v = (x.transpose(1, 2).flatten(2) for x in (q, k, v))
        return previous(func, q, k, v, heads, mask=mask, **kwargs)

    return override


def token_axis(options: dict) -> int:
    """Return on which dimension tokens are in q, k and v of an attention function called with such options."""
    return 2 if options.get("skip_reshape") else 1  # (B, H, L, D) or (B, L, H·D)


def pool_image(x: Tensor, start: int, grid: tuple[int, int], window: int, frames: int = 1) -> Tensor:
    """Average the image's part of keys or values (B, H, L, D) over windows, frame by frame; the rest stays whole."""
    stop = start + frames * math.prod(grid)
    image = x[:, :, start:stop].unflatten(2, (frames, -1)).flatten(1, 2)  # (B, H·F, N, D)
    image = average_windows(image, grid, window).unflatten(1, (-1, frames)).flatten(2, 3)
    return torch.cat([x[:, :, :start], image, x[:, :, stop:]], dim=2)


def pool_mask(mask: Tensor | None, start: int, grid: tuple[int, int], window: int, frames: int = 1) -> Tensor | None:
    """Make a mask (…, L) over keys fit pooled ones: a window counts where any of its tokens does."""
    if mask is None:
        return None
    stop = start + frames * math.prod(grid)
    image = mask[..., start:stop].float().reshape(-1, 1, *grid)
    pooled = F.max_pool2d(image, window, ceil_mode=True).reshape(*mask.shape[:-1], -1).to(mask.dtype)
    return torch.cat([mask[..., :start], pooled, mask[..., stop:]], dim=-1)
