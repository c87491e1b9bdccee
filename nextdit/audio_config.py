"""The architecture of a network of audio as a frozen value, and how it is read off a checkpoint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from .config import NextDiTConfig, check_batch
from .family import Shapes
from .infer import PART, infer_body, shape_of

BLOCKS = {"next": "layers.0.attention_norm1.weight", "flag": "layers.0.attention_norm.weight"}
"""Kinds of blocks → a norm as wide as their tokens, by which files tell them."""

NUMBERS = ("patch_size", "time_steps", "train_frames")
FLOATS = ("frame_rate", "scale_factor", "latent_shift")
MOST_SECONDS = 600.0
"""The longest sound that is made at once: attention sees all of it."""
RELEASED = {"patch_size": 1, "time_steps": 1000, "train_frames": 312, "frame_rate": 31.25}
"""What the released models are, whose files do not say so (configs and demo of the reference code)."""


@dataclass(frozen=True)
class AudioConfig(NextDiTConfig):
    """Architecture of a text-conditioned network on a row of frames: mel spectra, or an autoencoder's latents.

    `block` is a key of BLOCKS, `patch_size` the frames of a token, `frame_rate` frames a second. Time enters as it is,
    or with `time_steps` as the whole number of the step. The network sees (frames − latent_shift) · scale_factor.
    `train_frames` is the length in training. Raises ValueError on values that cannot be, and as NextDiTConfig.
    """

    may_be_0: ClassVar[frozenset[str]] = frozenset({"time_steps"})

    in_channels: int = 20
    out_channels: int = 0  # 0: in_channels
    patch_size: int = 1
    block: str = "next"
    time_steps: int = 0
    train_frames: int = 312
    frame_rate: float = 31.25
    scale_factor: float = 1.0
    latent_shift: float = 0.0

    def __post_init__(self):
        if not self.out_channels:
            object.__setattr__(self, "out_channels", self.in_channels)
        super().__post_init__()
        if self.block not in BLOCKS:
            raise ValueError(f"unknown block {self.block!r}; known: {', '.join(BLOCKS)}")
        if self.out_channels != self.in_channels:
            raise ValueError(f"audio has as many channels out as in, got {self.in_channels} and {self.out_channels}")
        for name in ("frame_rate", "scale_factor"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise ValueError(f"{name} must be a positive finite number, got {value!r}")
        if not math.isfinite(self.latent_shift):
            raise ValueError(f"latent_shift must be a finite number, got {self.latent_shift!r}")

    @property
    def patch_numbers(self) -> int:
        return self.patch_size

    @property
    def title(self) -> str:
        return f"{'Flag' if self.block == 'flag' else 'Next'}-DiT, text to audio"

    @property
    def train_tokens(self) -> int:
        """The length in training, in tokens."""
        return -(-self.train_frames // self.patch_size)

    @property
    def train_seconds(self) -> float:
        return self.train_frames / self.frame_rate

    def frames(self, seconds: float) -> int:
        """Return the frames of so many seconds, whole tokens, at least one."""
        return max(1, round(seconds * self.frame_rate / self.patch_size)) * self.patch_size

    def check_head_dim(self) -> None:
        """Raise ValueError if RoPE cannot share out a head's numbers."""
        if self.head_dim % 2:
            raise ValueError(f"RoPE needs head_dim (dim / n_heads) to be even, got {self.head_dim}")

    def check_latent(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless latents of this shape are (batch, in_channels, frames), with at least one frame."""
        if len(shape) != 3:
            raise ValueError(
                f"the latent has {len(shape)} dimensions, {tuple(shape)}, but this audio model takes 3: batch, "
                "channels, frames; start from empty audio, not from an empty picture or video"
            )
        if shape[1] != self.in_channels:
            raise ValueError(
                f"the latent has {shape[1]} channels, but this audio model takes {self.in_channels}; encode with the "
                "VAE that belongs to it, or start from an empty latent of its own"
            )
        check_batch(shape)
        if shape[2] < 1:
            raise ValueError("the latent is empty; audio needs at least 1 frame")

    def check_text(self, text_dim: int) -> None:
        """Raise ValueError if text features of width `text_dim` are not this model's."""
        if text_dim != self.text_dim:
            raise ValueError(
                f"the text features are {text_dim} wide, but this audio model takes {self.text_dim}; use the text "
                "encoder that it was trained with (1024: T5 large, which is in the released checkpoints)"
            )

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "AudioConfig":
        """Read the architecture off shapes and metadata. Raises ValueError if they say nonsense."""
        block = next((block for block, norm in BLOCKS.items() if norm in shapes), None)
        if block is None:
            norms = " or ".join(BLOCKS.values())
            raise ValueError(f"{norms} is missing, which tells the architecture: it is damaged, or {PART}")
        told = {name: _number(name, metadata) for name in (*NUMBERS, *FLOATS)}
        said = RELEASED | {name: value for name, value in told.items() if value is not None}
        patch = int(said["patch_size"])
        outputs = shape_of("final_layer.linear.bias", shapes)[0]
        if not patch or outputs % patch:
            raise ValueError(f"its metadata has patch_size {patch}, which its {outputs} outputs are no multiple of")
        body = infer_body(shapes, BLOCKS[block])
        return cls(**{**body, **said}, block=block, in_channels=outputs // patch, out_channels=outputs // patch)

    def about(self) -> dict[str, str]:
        """Return what a file has to say of the architecture because its shapes do not."""
        return {name: repr(getattr(self, name)) for name in (*NUMBERS, *FLOATS)}


def _number(name: str, metadata: Mapping[str, str]) -> int | float | None:
    text = metadata.get(name)
    if text is None:
        return None
    try:
        return int(text) if name in NUMBERS else float(text)
    except ValueError:
        raise ValueError(f"its metadata has {name} {text!r}, expected a number: download it again") from None
