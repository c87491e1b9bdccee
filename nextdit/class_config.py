"""The architecture of a network of classes as a frozen value, and how it is read off a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from .config import NextDiTConfig
from .family import Shapes
from .imagenet import imagenet_names
from .infer import PART, infer_layers, infer_pictures, shape_of
from .labels import find_label, numbers_or_names
from .layers.rope import Axes

BLOCKS = ("next", "flag")
TABLE = "y_embedder.embedding_table.weight"
IMAGENET = 1000
PRESET_HEADS = {1536: 32, 2304: 32, 3072: 32, 4096: 32}
"""Widths of the reference's presets → their heads, of which the weights say nothing."""


@dataclass(frozen=True)
class ClassConfig(NextDiTConfig):
    """Architecture of a network of `classes`: `block` is a key of BLOCKS, Next-DiT may have experts by time and place.

    `labels` are the classes' names where the file says them. Raises ValueError on values that cannot be, and as
    NextDiTConfig.
    """

    may_be_0: ClassVar[frozenset[str]] = frozenset({"text_dim", "time_experts", "space_experts"})

    text_dim: int = 0
    block: str = "next"
    time_experts: int = 0
    space_experts: int = 0
    classes: int = IMAGENET
    labels: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.text_dim:
            raise ValueError(f"a network of classes has no text, got text_dim {self.text_dim}")
        if self.block not in BLOCKS:
            raise ValueError(f"unknown block {self.block!r}; known: {', '.join(BLOCKS)}")
        if self.block == "flag" and self.experts:
            raise ValueError("experts are for Next-DiT, got some for Flag-DiT: leave them out")
        if self.labels and len(self.labels) != self.classes:
            raise ValueError(f"{self.classes} classes need as many labels, got {len(self.labels)}")

    @property
    def experts(self) -> dict[str, int]:
        """The number of experts by what chooses them, "time" or "space"; none of a kind is left out."""
        counts = {"time": self.time_experts, "space": self.space_experts}
        return {kind: count for kind, count in counts.items() if count}

    @property
    def axes(self) -> Axes:
        """How positions are counted: Flag-DiT's patches stand in one line (reference code)."""
        if self.block == "flag":
            return Axes((self.head_dim,))
        return Axes.shared(self.head_dim, 2, interleaved=True)

    @property
    def title(self) -> str:
        name = "Flag-DiT" if self.block == "flag" else "Next-DiT"
        chosen = {"time": "time", "space": "place"}
        mixtures = [f"{count} experts by {chosen[kind]}" for kind, count in self.experts.items()]
        return f"{name}{' with ' if mixtures else ''}{' and '.join(mixtures)}, {self.classes} classes to image"

    def check_head_dim(self) -> None:
        """Raise ValueError if RoPE cannot share out a head's numbers."""
        if self.block == "next":
            super().check_head_dim()
        elif self.head_dim % 2:
            raise ValueError(f"RoPE needs head_dim (dim / n_heads) to be even, got {self.head_dim}")

    def check_text(self, text_dim: int) -> None:
        """Raise ValueError if shares of so many classes, or a text of that width, are not this model's."""
        if text_dim != self.classes:
            raise ValueError(
                f"this model makes pictures from one of {self.classes} classes, not from {text_dim} numbers of a text: "
                f"give it a class (0 to {self.classes - 1})"
            )

    @property
    def is_imagenet(self) -> bool:
        """Whether its classes are ImageNet's, as those of a file without names are if there are as many."""
        return not self.labels and self.classes == IMAGENET

    @property
    def known(self) -> tuple[str, ...] | int:
        """The names of its classes, or how many there are where nobody says."""
        return self.labels or (imagenet_names() if self.is_imagenet else self.classes)

    def label(self, label: str | int) -> int:
        """Return the number of a class, given by a name of `known` or by its number. ValueError if it is none."""
        return find_label(label, self.known)

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "ClassConfig":
        """Read the architecture off shapes and metadata. Raises ValueError if they say nonsense, or too little."""
        norm = "layers.0.attention_norm.weight"
        dim, time_dim = shape_of(norm, shapes)[0], shape_of("t_embedder.mlp.0.bias", shapes)[0]
        experts = _experts(shapes, metadata, dim, time_dim)
        forward = "feed_forward_time" if len(experts) > 1 else "feed_forward"
        forward += ".experts.0" if experts else ""
        classes = shape_of(TABLE, shapes)[0] - 1
        body = infer_layers(shapes, norm, _heads(metadata, dim), forward)
        return cls(
            **body,
            **infer_pictures(shapes),
            block=_block(shapes, dim, len(experts)),
            time_experts=experts.get("time", 0),
            space_experts=experts.get("space", 0),
            classes=classes,
            labels=numbers_or_names(metadata.get("labels"), classes),
        )

    def about(self) -> dict[str, str]:
        """Return what a file has to say of the architecture because its shapes do not."""
        said = {"n_heads": str(self.n_heads)}
        if len(self.experts) == 1:
            said["experts"] = next(iter(self.experts))
        return said | ({"labels": ", ".join(self.labels)} if self.labels else {})


def _heads(metadata: Mapping[str, str], dim: int) -> int:
    text = metadata.get("n_heads")
    if text is None and dim in PRESET_HEADS:
        return PRESET_HEADS[dim]
    if text is None:
        widths = ", ".join(map(str, PRESET_HEADS))
        raise ValueError(
            f"nothing says how many heads it has: the weights of class-conditional models do not, and {dim} is none of "
            f"the released widths ({widths}); write n_heads into the metadata of its safetensors file"
        )
    if not (text.isascii() and text.isdecimal() and int(text) and dim % int(text) == 0):
        raise ValueError(f"its metadata has n_heads {text!r}, expected a divisor of its width {dim}")
    return int(text)


def _experts(shapes: Shapes, metadata: Mapping[str, str], dim: int, time_dim: int) -> dict[str, int]:
    def count(name: str) -> int:
        start = f"layers.0.{name}.experts."
        return len({key.removeprefix(start).partition(".")[0] for key in shapes if key.startswith(start)})

    if count("feed_forward_time") or count("feed_forward_space"):
        return {kind: count(f"feed_forward_{kind}") for kind in ("time", "space")}
    if not count("feed_forward"):
        return {}
    kind = metadata.get("experts")
    width = shape_of("layers.0.feed_forward.gate.weight", shapes)[1]
    if kind is None and dim != time_dim:
        kind = {time_dim: "time", dim: "space"}.get(width)
    if kind not in ("time", "space"):
        raise ValueError(
            "nothing says whether time or place chooses among its experts (their gate is as wide as either, or as "
            "none): write experts = time or experts = space into the metadata of its safetensors file"
        )
    return {kind: count("feed_forward")}


def _block(shapes: Shapes, dim: int, kinds: int) -> str:
    modulations = shape_of("layers.0.adaLN_modulation.1.bias", shapes)[0]
    expected = {(2 + 2 * max(1, kinds)) * dim: "next"} | ({} if kinds else {6 * dim: "flag"})
    if modulations not in expected:
        raise ValueError(
            f"its layers have {modulations / dim:g} modulations of their {dim} numbers, expected 4 (Next-DiT), 6 "
            f"(Flag-DiT, or Next-DiT with experts by time and by place): it is damaged, of another model, or {PART}"
        )
    return expected[modulations]
