"""The attention that a checkpoint prefers for a layer, such as one of 8 bits: core takes it where no override stands.

Newer core has a `comfy_attention` in each module that attends, whose `function` is that attention or None.
"""

from collections import Counter
from collections.abc import Callable

from torch import nn

from .core_family import CoreFamily
from .core_sequence import Conds

NAME = "comfy_attention"


class Preferences:
    """Where the modules are that say it in a network; what they say is asked in each call, since nodes may patch it."""

    def __init__(self, network: nn.Module, family: CoreFamily):
        names = [name for name, _ in network.named_modules() if name.rpartition(".")[2] == NAME]
        self.family, self.any = family, bool(names)
        self.stacks = {
            said: [_within(names, f"{stack}.{i}") for i in range(len(getattr(network, stack)))]
            for said, stack in family.stacks
        }
        stacked = {name for layers in self.stacks.values() for layer in layers for name in layer}
        self.others = [name for name in names if name not in stacked]

    def override(self, network: nn.Module, conds: Conds) -> Callable:
        """Return the override that computes one call of a network as core does without one."""
        return Preferred(self, network, conds) if self.any else _plain

    def unnamed(self, conds: Conds) -> list[str]:
        """Return those that attend without a block_type, in order."""
        order = self.family.unnamed(conds)
        return self.others if order is None else [name for part in order for name in _within(self.others, part)]


class Preferred:
    """The override that attends as core does without one, in one call of a network.

    A layer that attends several times does so with its modules in order, and from the last on with that.
    """

    def __init__(self, places: Preferences, network: nn.Module, conds: Conds):
        self.stacks, self.network = places.stacks, network
        self.unnamed = iter(places.unnamed(conds))
        self.calls: Counter = Counter()

    def __call__(self, func, *args, **kwargs):
        return (self.of(kwargs["transformer_options"]) or func)(*args, **kwargs)

    def of(self, options: dict) -> Callable | None:
        """Return what is preferred for the attention that comes now; asked once for each, in their order."""
        said = options.get("block_type", "")
        if said in self.stacks:
            layer = said, options["block_index"]
            names, call = self.stacks[said][layer[1]], self.calls[layer]
            self.calls[layer] += 1
            name = names[min(call, len(names) - 1)] if names else None
        else:
            name = next(self.unnamed, None)
        return None if name is None else self.network.get_submodule(name).function


def for_one_layer(previous: Callable, options: dict) -> Callable:
    """Return an override that a layer may call several times, of one that it may call once."""
    if not isinstance(previous, Preferred):
        return previous
    preferred = previous.of(options)
    return lambda func, *args, **kwargs: (preferred or func)(*args, **kwargs)


def _within(names: list[str], part: str) -> list[str]:
    return [name for name in names if name.startswith(f"{part}.")]


def _plain(func: Callable, *args, **kwargs):
    return func(*args, **kwargs)
