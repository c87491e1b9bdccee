"""What the pack has to know of a kind of network, as a value: one a file in models/, all of them in families.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .latents import SDXL, LatentSpace

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of weights, by the names of our modules."""


NORM_GROUPS = "norm_groups"
"""Where a file says that its QK-norm treats groups of heads alone, as in training on several ranks."""


def as_fact(text: str) -> Tensor:
    """Return what a file says of itself as the tensor that may keep it: a whole number, or the bytes of a text."""
    if text.isascii() and text.isdecimal():
        return torch.tensor(int(text))
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def fact_text(fact: Tensor) -> str:
    """Undo `as_fact`; a single number, whole or not, is read as it is."""
    if fact.ndim == 0:
        return repr(fact.item())
    return bytes(fact.to(torch.uint8).tolist()).decode("utf-8", "replace")


def same(key: str) -> str:
    """Return a key as it is."""
    return key


@dataclass(frozen=True)
class Layout:
    """A way in which files name a family's weights.

    A file that has all keys of `signature`, behind any prefix, is of this layout; where several families' fit, the
    longest counts. `rename` maps a key, without its prefix, to our module's.
    """

    name: str
    signature: tuple[str, ...]
    rename: Callable[[str], str] = same


@dataclass(frozen=True)
class Family:
    """A kind of network: how its files are recognised, what architecture they tell, how it is built and written.

    `title` names it with an article, `kind` says what it is and makes, or `kind_of` where that is in the config.
    `infer` reads the config off shapes and a file's metadata; `metadata` is what a file has to say of a config because
    its shapes do not. Files may also keep it as a tensor of that name (`as_fact`), listed in `facts` if it is a whole
    number and in `texts` if it may be anything: ComfyUI writes no metadata. `reference` maps our module's key to that
    of the layout in which weights are written. `native` returns a key of `train_size.NATIVE` or `rope_choice.AUDIO`,
    None where only the file can tell on which sizes it was trained; `pictures` is whether its tokens stand in rows and
    columns, `latents` what those of 4 channels are. `summary` is what people are told of a config.
    """

    name: str
    title: str
    kind: str
    config: type
    network: type[nn.Module]
    layouts: tuple[Layout, ...]
    infer: Callable[[Shapes, Mapping[str, str]], Any]
    metadata: Callable[[Any], dict[str, str]] = lambda config: {}
    facts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    reference: Callable[[str], str] = same
    native: Callable[[Any], str | None] = lambda config: None
    pictures: bool = True
    latents: LatentSpace = SDXL
    summary: Callable[[Any], dict[str, Any]] = asdict
    kind_of: Callable[[Any], str] | None = None

    def describe(self, config: Any) -> str:
        """Say what a network of this config is and makes."""
        return self.kind if self.kind_of is None else self.kind_of(config)

    def read(self, shapes: Shapes, metadata: Mapping[str, str]) -> Any:
        """Return the config of weights named as our modules. Raises ValueError if shapes or metadata say nonsense."""
        config = self.infer(shapes, metadata)
        groups = metadata.get(NORM_GROUPS, "1")
        if not (groups.isascii() and groups.isdecimal()):
            raise ValueError(f"its metadata has {NORM_GROUPS} {groups!r}, expected a whole number: download it again")
        if int(groups) == getattr(config, NORM_GROUPS, 1):
            return config
        if not hasattr(config, NORM_GROUPS):
            raise ValueError(f"its metadata has {NORM_GROUPS} {groups}, which {self.title} has not: download it again")
        return replace(config, norm_groups=int(groups))

    def about(self, config: Any) -> dict[str, str]:
        """Return what a file has to say of a config because its shapes do not."""
        groups = getattr(config, NORM_GROUPS, 1)
        return self.metadata(config) | ({NORM_GROUPS: str(groups)} if groups > 1 else {})
