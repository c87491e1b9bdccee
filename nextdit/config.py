"""The architecture of a Next-DiT as a frozen value, and the published presets."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar


def ffn_width(dim: int, multiple_of: int = 256) -> int:
    """Return the SwiGLU width: 2/3 of 4·dim, rounded up to `multiple_of` (reference code)."""
    return -(-int(8 * dim / 3) // multiple_of) * multiple_of


def check_batch(shape: Sequence[int]) -> None:
    """Raise ValueError if latents of this shape, (batch, …), are none."""
    if shape[0] < 1:
        raise ValueError(f"the latent is empty, {tuple(shape)}: its batch is 0, so there is nothing to sample")


@dataclass(frozen=True)
class NextDiTConfig:
    """Architecture of a text-to-image Next-DiT; nothing that a state dict's shapes do not tell.

    `out_channels` is twice `in_channels` where the network was trained with a variance head
    (`learn_sigma`), whose half of the output is thrown away. `norm_groups` is the number of groups of heads that
    QK-norm treats alone: one for each rank of a model that was trained in tensor-parallel. Raises ValueError on sizes
    that do not fit together.
    """

    may_be_0: ClassVar[frozenset[str]] = frozenset()

    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    text_dim: int
    in_channels: int = 4
    out_channels: int = 8
    patch_size: int = 2
    ffn_dim: int = 0  # 0: the reference's ffn_width(dim)
    time_dim: int = 0  # 0: the reference's min(dim, 1024)
    time_frequencies: int = 256
    qk_norm: bool = True
    norm_groups: int = 1

    def __post_init__(self):
        if not self.ffn_dim:
            object.__setattr__(self, "ffn_dim", ffn_width(self.dim))
        if not self.time_dim:
            object.__setattr__(self, "time_dim", min(self.dim, 1024))
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self) if field.type is int):
            if not isinstance(value, int) or value < (name not in self.may_be_0):
                raise ValueError(f"NextDiTConfig.{name} must be a positive integer, got {value!r}")
        if self.dim % self.n_heads:
            raise ValueError(f"dim {self.dim} is not divisible by n_heads {self.n_heads}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {self.n_heads} is not divisible by n_kv_heads {self.n_kv_heads}")
        if self.n_kv_heads % self.norm_groups:
            raise ValueError(f"n_kv_heads {self.n_kv_heads} is not divisible by norm_groups {self.norm_groups}")
        self.check_head_dim()
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(f"out_channels must be in_channels or twice that, got {self.out_channels}")

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def patch_numbers(self) -> int:
        """How many numbers of a channel a token has."""
        return self.patch_size**2

    def check_head_dim(self) -> None:
        """Raise ValueError if RoPE cannot share out a head's numbers."""
        if self.head_dim % 4 or self.head_dim < 8:
            raise ValueError(f"2-D RoPE needs head_dim (dim / n_heads) to be 8, 12, 16, …, got {self.head_dim}")

    def check_latent(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless latents of this shape are (batch, in_channels, height, width), none of them 0."""
        if len(shape) != 4:
            raise ValueError(
                f"the latent has {len(shape)} dimensions, {tuple(shape)}, but this Next-DiT takes 4: batch, channels, "
                "height, width; start from an empty latent for images, not for video or audio"
            )
        channels = shape[1]
        check_batch(shape)
        if min(shape[2:]) < 1:
            raise ValueError(f"the latent is empty, {tuple(shape)}; it needs a height and a width of at least 1")
        if channels != self.in_channels:
            raise ValueError(
                f"the latent has {channels} channels, but this Next-DiT takes {self.in_channels}; "
                "encode with the VAE that belongs to it, or start from an empty latent"
            )

    def check_text(self, text_dim: int) -> None:
        """Raise ValueError if text features of width `text_dim` are not this model's."""
        if text_dim != self.text_dim:
            raise ValueError(
                f"the text features are {text_dim} wide, but this Next-DiT takes {self.text_dim}; "
                "load the text encoder that it was trained with (2048: Gemma-2B, 128: the demo's)"
            )


PRESETS = {
    "600M": NextDiTConfig(dim=1536, n_layers=16, n_heads=32, n_kv_heads=32, text_dim=2048),
    "2B": NextDiTConfig(dim=2304, n_layers=24, n_heads=32, n_kv_heads=8, text_dim=2048),
    "3B": NextDiTConfig(dim=3072, n_layers=32, n_heads=32, n_kv_heads=32, text_dim=2048),
    "7B": NextDiTConfig(dim=4096, n_layers=32, n_heads=32, n_kv_heads=32, text_dim=2048),
}
