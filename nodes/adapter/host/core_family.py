"""One of ComfyUI's own families of networks, as the patch nodes see it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from .core_sequence import Conds, Sequence
from .core_tables import PAIRS, Table


def full_name(cls: type) -> str:
    """Return the name of a class with its module."""
    return f"{cls.__module__}.{cls.__qualname__}"


@dataclass(frozen=True)
class CoreFamily:
    """One family.

    `networks` are the classes' full names, with `subclasses` theirs too; `embedder` is where the position embedding is,
    `axes` what its axes count, `native` the key of NATIVE for a unet_config. `stacks` are the layers that attend over
    the sequence, in order: what they say as block_type, and the network's attribute. `closed` says why attention cannot
    be reached, where it cannot; `text_apart` that layers attend to the text by a second attention, `heard_apart` in
    which of these networks that can be to several texts, and `one_text` why there can be one text alone. `text_calls`
    are which of the calls without block_type are among the text's tokens, `unnamed` the attributes that attend without
    one, in order, None for all others in the order of the network's parts. `other` tells a network of these classes
    with another sequence.
    """

    name: str
    networks: tuple[str, ...]
    embedder: str
    axes: tuple[str, ...]
    sequence: Sequence
    native: Callable[[Mapping[str, Any]], str | None]
    stacks: tuple[tuple[str, str], ...] = ()
    table: Table = PAIRS
    closed: str = ""
    text_apart: bool = False
    heard_apart: tuple[str, ...] = ()
    one_text: str = ""
    subclasses: bool = False
    text_calls: Callable[[nn.Module], range] = lambda network: range(0)
    unnamed: Callable[[Conds], tuple[str, ...] | None] = lambda conds: None
    other: Callable[[Any], bool] = lambda network: False

    def fits(self, network: nn.Module) -> bool:
        """Tell whether a network is of this family."""
        classes = type(network).__mro__ if self.subclasses else (type(network),)
        if not any(full_name(cls) in self.networks for cls in classes):
            return False
        axes = getattr(getattr(network, "params", None), "axes_dim", self.axes)
        return len(axes) == len(self.axes) and not self.other(network)

    @property
    def regions_closed(self) -> str:
        """Why its texts cannot be heard region by region, "" where they can, in some of its networks at least."""
        apart = "it attends to the text apart from the picture" if self.text_apart and not self.heard_apart else ""
        return self.closed or apart or self.one_text

    def regions_closed_in(self, network: nn.Module) -> str:
        """Why the texts of one of its networks cannot be heard region by region, "" where they can."""
        if self.heard_apart and full_name(type(network)) not in self.heard_apart:
            return "what controls it attends to the text too"
        return self.regions_closed

    def layers(self, network: nn.Module) -> int:
        """Return how many layers attend over the sequence."""
        return sum(len(getattr(network, stack)) for _, stack in self.stacks)

    def first_layers(self, network: nn.Module) -> dict[str, int]:
        """Return what number the first layer of each stack has, by what its layers say as block_type."""
        first, numbers = 0, {}
        for said, stack in self.stacks:
            numbers[said] = first
            first += len(getattr(network, stack))
        return numbers
