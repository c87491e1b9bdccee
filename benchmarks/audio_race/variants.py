"""The networks of table 5 of the paper in small: their blocks, and which captions they read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...nextdit.audio_config import AudioConfig
from ...nextdit.text import TextEncoder
from ...training.data.sounds.prepare import MEL
from ...training.tasks.audio import MIDDLE, SPREAD

FRAMES = 128
"""Two seconds, a sound in each of them where there are two."""
HEADS = 3
BOTH = "\n"
"""Stands between the two captions of a prompt."""


def plain(caption: str, structured: str) -> str:
    return caption


def structured_only(caption: str, structured: str) -> str:
    return structured


def both(caption: str, structured: str) -> str:
    return caption + BOTH + structured


@dataclass(frozen=True)
class Variant:
    """How a network differs from Next-DiT: in its config, or in what it reads of a caption and its structured form."""

    changed: dict[str, object] = field(default_factory=dict)
    reads: Callable[[str, str], str] = plain

    def config(self, text_dim: int) -> AudioConfig:
        """Return its architecture for text features so wide."""
        return replace(SMALL, text_dim=text_dim, **self.changed)


SMALL = AudioConfig(
    dim=96,
    n_layers=4,
    n_heads=HEADS,
    n_kv_heads=1,
    ffn_dim=256,
    time_dim=96,
    text_dim=96,
    in_channels=MEL.bins,
    patch_size=2,
    frame_rate=MEL.frame_rate,
    train_frames=FRAMES,
    scale_factor=1 / SPREAD,
    latent_shift=MIDDLE,
)
NEXT = "Next-DiT"
VARIANTS = {
    NEXT: Variant(),
    "Flag-DiT": Variant({"block": "flag", "n_kv_heads": HEADS}),
    "structured caption": Variant(reads=structured_only),
    "both captions": Variant(reads=both),
}


class Joined:
    """A text encoder of prompts with several captions: each encoded by itself, one behind the other (equation 5).

    So are T5's and CLAP's features in the released checkpoints. Here one frozen encoder reads both; what it makes of a
    caption is kept.
    """

    def __init__(self, encoder: TextEncoder):
        self.encoder, self.width = encoder, encoder.width
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return features (B, L, D) and mask (B, L)."""
        rows = [torch.cat([self.features(caption) for caption in prompt.split(BOTH)]) for prompt in prompts]
        return pad_sequence(rows, batch_first=True), pad_sequence([row.new_ones(len(row)) for row in rows], True)

    def features(self, caption: str) -> Tensor:
        """Return the features (L, D) of one caption."""
        if caption not in self.known:
            features, mask = self.encoder([caption])
            self.known[caption] = features[0][mask[0].bool()].float()
        return self.known[caption]
