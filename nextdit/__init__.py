"""The Next-DiT model family in plain PyTorch."""

from .checkpoint import load_model, save_model
from .config import PRESETS, NextDiTConfig
from .context_drop import ContextDrop
from .layers.rope import RopeScaling
from .models.image import NextDiT
from .models.multiview import MultiViewNextDiT, within_frames
from .text import TextEncoder, load_text_encoder

__all__ = [
    "PRESETS",
    "ContextDrop",
    "MultiViewNextDiT",
    "NextDiT",
    "NextDiTConfig",
    "RopeScaling",
    "TextEncoder",
    "load_model",
    "load_text_encoder",
    "save_model",
    "within_frames",
]
