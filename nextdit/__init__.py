"""The Next-DiT model family in plain PyTorch."""

from .audio_config import AudioConfig
from .call import Call
from .checkpoint import load_model, save_model
from .config import PRESETS, NextDiTConfig
from .context_drop import ContextDrop
from .layers.rope_scaling import RopeScaling
from .models.audio import AudioDiT
from .models.class_image import ClassDiT
from .models.classifier import ClassifierConfig, ClassifierNextDiT
from .models.flag import FlagDiT
from .models.image import NextDiT
from .models.multiview import MultiViewNextDiT, Views
from .models.points import PointNextDiT
from .models.video import VideoNextDiT
from .text import TextEncoder, load_text_encoder

__all__ = [
    "PRESETS",
    "AudioConfig",
    "AudioDiT",
    "Call",
    "ClassDiT",
    "ClassifierConfig",
    "ClassifierNextDiT",
    "ContextDrop",
    "FlagDiT",
    "MultiViewNextDiT",
    "NextDiT",
    "NextDiTConfig",
    "PointNextDiT",
    "RopeScaling",
    "TextEncoder",
    "VideoNextDiT",
    "Views",
    "load_model",
    "load_text_encoder",
    "save_model",
]
