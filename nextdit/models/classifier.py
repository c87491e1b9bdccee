"""Next-DiT as an image backbone: pictures of any size and shape to labels and features (paper section 4).

No code or weights of the authors are public: what the paper leaves open is ours.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from ..family import Family, Layout, Shapes
from ..infer import shape_of
from ..layers.attend import Attend, default_attend
from ..layers.attention import Attending
from ..layers.feed_forward import FeedForward
from ..layers.rope import Axes
from ..layers.rope_scaling import METHODS, RopeScaling, scale_factor
from ..layers.self_attention import SelfAttention
from ..layers.tokens import additive_mask, masked_mean, patchify
from ..partition import partition, resized
from ..train_size import LEAST

UNTIMED = tuple(name for name, method in METHODS.items() if not method.by_time)
"""The RoPE methods that do not change with time, of which a classifier has none."""

NUMBERS = ("n_heads", "train_tokens", "min_patches", "max_patches")
"""What of the architecture a file tells in its metadata, as whole numbers."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Architecture of a classifier of pictures, and the labels that it tells apart.

    `labels` are the classes' names by language. `train_tokens` is the patches per side in the first stage of training,
    `min_patches`, `max_patches` and `max_ratio` bound the partition, `scaling` is the RoPE method for larger pictures.
    Without `sandwich` only what enters a sub-layer is normalised. Raises ValueError on values that cannot be.
    """

    dim: int
    n_layers: int
    n_heads: int
    labels: Mapping[str, tuple[str, ...]] = field(hash=False)
    patch_size: int = 8
    ffn_dim: int = 0  # 0: 2/3 of 4·dim, to a multiple of 32
    in_channels: int = 3
    sandwich: bool = True
    train_tokens: int = 8
    max_patches: int = 2304
    max_ratio: float = 4.0
    min_patches: int = 1
    scaling: str = "interpolation"

    def __post_init__(self):
        if not self.ffn_dim:
            object.__setattr__(self, "ffn_dim", -(-int(8 * self.dim / 3) // 32) * 32)
        for name in ("dim", "n_layers", "n_heads", "patch_size", "ffn_dim", "max_patches", "min_patches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive integer, got {getattr(self, name)!r}")
        if self.dim % (4 * self.n_heads):
            raise ValueError(f"dim {self.dim} is not divisible by 4 · n_heads, {4 * self.n_heads}, as 2-D RoPE needs")
        if not self.labels or len({len(names) for names in self.labels.values()}) > 1 or self.classes < 1:
            raise ValueError("a classifier needs labels in at least one language, the same number in each")
        if self.train_tokens < LEAST:
            raise ValueError(f"train_tokens must be at least {LEAST}, as scaling RoPE needs, got {self.train_tokens}")
        if self.scaling not in UNTIMED:
            raise ValueError(f"unknown RoPE method {self.scaling!r}; known: {', '.join(UNTIMED)}")
        if not self.max_ratio >= 1:
            raise ValueError(f"max_ratio must be a number from 1 on, got {self.max_ratio!r}")

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def classes(self) -> int:
        return len(next(iter(self.labels.values())))

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.labels)

    def names(self, language: str | None = None) -> tuple[str, ...]:
        """Return the labels in a language, by default the first. Raises ValueError if it has none in it."""
        language = self.languages[0] if language is None else language
        if language not in self.labels:
            raise ValueError(f"no labels in {language!r}; this model has {', '.join(self.languages)}")
        return self.labels[language]

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "ClassifierConfig":
        """Read the architecture off shapes and metadata. Raises ValueError if that says nonsense."""
        classes = shape_of("head.2.weight", shapes)[0]
        try:
            told = {name: tuple(names) for name, names in json.loads(metadata.get("labels", "{}")).items()}
            numbers = {n: int(metadata[n]) for n in NUMBERS if n in metadata}
            ratio = float(metadata.get("max_ratio", cls.max_ratio))
        except (ValueError, TypeError, AttributeError):
            raise ValueError("its metadata has labels or sizes that cannot be read: download it again") from None
        labels = told or {"en": tuple(map(str, range(classes)))}
        if any(len(names) != classes for names in labels.values()):
            raise ValueError(f"its metadata has not {classes} labels in every language: download it again")
        dim, inputs = shape_of("x_embedder.weight", shapes)
        return cls(
            dim=dim,
            n_layers=1 + max((int(m[1]) for key in shapes if (m := re.match(r"layers\.(\d+)\.", key))), default=0),
            n_heads=numbers.pop("n_heads", max(1, dim // 32)),
            labels=labels,
            ffn_dim=shape_of("layers.0.feed_forward.w1.weight", shapes)[0],
            sandwich="layers.0.attention_norm2.weight" in shapes,
            scaling=metadata.get("rope_method", "interpolation"),
            patch_size=math.isqrt(inputs // 3),
            max_ratio=ratio,
            **numbers,
        )

    def metadata(self) -> dict[str, str]:
        """Return what a file has to say of the architecture because its shapes do not."""
        return {
            "labels": json.dumps(self.labels, ensure_ascii=False),
            "rope_method": self.scaling,
            "max_ratio": f"{self.max_ratio:g}",
            **{name: str(getattr(self, name)) for name in NUMBERS},
        }

    def summary(self) -> dict[str, Any]:
        """Return the architecture for people: of labels their number and languages."""
        numbers = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "labels"}
        return numbers | {"labels": self.classes, "languages": " ".join(self.languages)}


class ClassifierBlock(nn.Module):
    """Self-attention and SwiGLU between RMS norms, each behind a learnable gate a channel: no time, no text."""

    def __init__(self, config: ClassifierConfig, *, operations, **factory):
        super().__init__()
        c = config

        def norm(after: bool = False) -> nn.Module:
            return nn.Identity() if after and not c.sandwich else operations.RMSNorm(c.dim, eps=1e-5, **factory)

        self.attention = SelfAttention(c.dim, c.n_heads, c.n_heads, True, operations=operations, **factory)
        self.feed_forward = FeedForward(c.dim, c.ffn_dim, operations=operations, **factory)
        self.attention_norm1, self.attention_norm2 = norm(), norm(after=True)
        self.ffn_norm1, self.ffn_norm2 = norm(), norm(after=True)
        self.attention_gate = nn.Parameter(torch.full((c.dim,), GATE, **factory))
        self.ffn_gate = nn.Parameter(torch.full((c.dim,), GATE, **factory))

    def forward(self, x: Tensor, how: Attending) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim)."""
        h = self.attention_norm2(self.attention(self.attention_norm1(x), how))
        x = torch.addcmul(x, self.attention_gate.to(x).tanh(), h.to(x.dtype))
        h = self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))
        return torch.addcmul(x, self.ffn_gate.to(x).tanh(), h.to(x.dtype))


GATE = 0.3
"""What gates begin training with, before tanh."""


class ClassifierNextDiT(nn.Module):
    """Pictures of any size and shape, also of several in a batch, to features and logits of labels.

    `operations` is the namespace that has Linear, LayerNorm and RMSNorm: torch.nn, or a comfy.ops class.
    """

    def __init__(self, config: ClassifierConfig, *, device=None, dtype=None, operations=nn):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        made = {"operations": operations, **factory}
        self.config = c = config
        self.axes = Axes.shared(c.head_dim, 2)
        self.x_embedder = operations.Linear(c.in_channels * c.patch_size**2, c.dim, **factory)
        self.layers = nn.ModuleList(ClassifierBlock(c, **made) for _ in range(c.n_layers))
        self.norm = operations.LayerNorm(c.dim, eps=1e-6, **factory)
        self.head = nn.Sequential(
            operations.Linear(c.dim, c.dim, **factory), nn.GELU(), operations.Linear(c.dim, c.classes, **factory)
        )
        self.pad_token = nn.Parameter(torch.zeros(c.dim, **factory))

    def forward(
        self, pictures: Tensor | Sequence[Tensor], *, method: str | None = None, attend: Attend | None = None
    ) -> Tensor:
        """Return the logits (B, classes) of pictures, as `features` takes them."""
        return self.head(self.features(pictures, method=method, attend=attend))

    def features(
        self, pictures: Tensor | Sequence[Tensor], *, method: str | None = None, attend: Attend | None = None
    ) -> Tensor:
        """Return the features (B, dim) of pictures (B, 3, H, W), or of a list of (3, H, W), in [-1, 1].

        Sides in whole patches stay as they are, others are resized by `partition`, as are pictures beyond the config's
        bounds. `method` scales RoPE past the training size, by default the config's. Computes in the weights' dtype.
        Raises ValueError on shapes that do not fit.
        """
        grids, tokens, mask = self.tokens(pictures)
        rotary = self.rotary(grids, tokens.shape[1], self.config.scaling if method is None else method, tokens.device)
        bias = None if mask is None else additive_mask(mask, tokens.dtype)
        how = Attending(rotary, attend or default_attend, attend or default_attend, mask=bias)
        for layer in self.layers:
            tokens = layer(tokens, how)
        return masked_mean(self.norm(tokens), mask)

    def tokens(self, pictures: Tensor | Sequence[Tensor]) -> tuple[list[tuple[int, int]], Tensor, Tensor | None]:
        """Return every picture's grid, its tokens (B, N, dim), and which of them count (B, N), None if all do."""
        c, weight = self.config, self.x_embedder.weight
        if len(pictures) < 1:
            raise ValueError("there is no picture to classify; expected at least one")
        for shape in {tuple(picture.shape) for picture in pictures}:
            if len(shape) != 3 or shape[0] != c.in_channels:
                raise ValueError(f"expected pictures of ({c.in_channels}, height, width), got {shape}")
        grids = [self.grid(*picture.shape[1:]) for picture in pictures]
        if len(set(grids)) == 1 and isinstance(pictures, Tensor):
            x = resized(pictures.to(weight.device), grids[0], c.patch_size)
            return grids, self.x_embedder(patchify(x.to(weight.dtype), c.patch_size)), None
        cut = [resized(picture.to(weight.device), g, c.patch_size) for picture, g in zip(pictures, grids, strict=True)]
        rows = [patchify(picture.to(weight.dtype).unsqueeze(0), c.patch_size)[0] for picture in cut]
        lengths = torch.tensor([len(row) for row in rows], device=weight.device)
        tokens = self.x_embedder(nn.utils.rnn.pad_sequence(rows, batch_first=True))
        mask = torch.arange(tokens.shape[1], device=weight.device) < lengths[:, None]
        if bool(mask.all()):
            return grids, tokens, None
        return grids, torch.where(mask.unsqueeze(-1), tokens, self.pad_token.to(tokens)), mask

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the grid of patches (rows, columns) that a picture of this size is cut into."""
        c = self.config
        return partition(height, width, c.patch_size, c.max_patches, c.max_ratio, c.min_patches)

    def rotary(self, grids: Sequence[tuple[int, int]], length: int, method: str, device: torch.device) -> Tensor:
        """Return the rotary table (2, 1 or B, length, head_dim / 2) of pictures on grids; pads are not turned."""
        c, tables = self.config, {}
        for grid in set(grids):
            scaling = RopeScaling(method, scale_factor(grid, c.train_tokens, per_axis=True), c.train_tokens)
            thetas = scaling.thetas(self.axes, torch.zeros(1, device=device))
            table = self.axes.table([torch.arange(n, device=device) for n in grid], thetas)  # (2, 1, N, head_dim / 2)
            tables[grid] = nn.functional.pad(table, (0, 0, 0, length - table.shape[2]))
        if len(tables) == 1:
            return tables[grids[0]]
        return torch.cat([tables[grid] for grid in grids], dim=1)


FAMILY = Family(
    "classifier",
    title="a Next-DiT that recognises pictures",
    kind="Next-DiT, recognition",
    config=ClassifierConfig,
    network=ClassifierNextDiT,
    layouts=(Layout("reference", ("layers.0.attention_gate", "head.2.weight", "x_embedder.weight")),),
    infer=ClassifierConfig.infer,
    metadata=ClassifierConfig.metadata,
    summary=ClassifierConfig.summary,
    pictures=False,
)
