"""Text to audio as ComfyUI's own kind of model: a latent is a row of frames, (batch, channels, frames)."""

import logging

import comfy.latent_formats
import comfy.model_management
import torch
from torch import Tensor

from ....nextdit.audio_config import MOST_SECONDS, AudioConfig
from ....nextdit.encoders.audio.mel import Mel
from ....nextdit.encoders.audio.spectrogram import coloured, level_of_latents, level_of_spectra
from ....nextdit.models.audio import FAMILY, AudioDiT
from ..host import progress
from ..host.time import flow_time
from ..patches.regions import prompt_conds, regional_call
from . import sizes
from .base import OwnConfig, OwnModel, image_model, memory_usage_factor
from .network import OwnNetwork

CORE_RATE = 44100
"""Samples a second in which ComfyUI counts the length of audio latents, whatever a model's own."""


class Frames(comfy.latent_formats.LatentFormat):
    """Frames as a network sees them: shifted and scaled. Core's Empty Latent Audio is cut to their number."""

    latent_dimensions = 1

    def __init__(self, config: AudioConfig):
        self.latent_channels = config.in_channels
        self.scale_factor, self.shift = config.scale_factor, config.latent_shift
        self.temporal_downscale_ratio = CORE_RATE / config.frame_rate
        if hasattr(comfy.latent_formats.LatentFormat, "latent_rgb_factors_reshape"):  # not in 0.3.64: no previews
            self.latent_rgb_factors = [[2.0 * (i == j) for j in range(3)] for i in range(3)]
            self.latent_rgb_factors_bias = [-1.0] * 3
            self.latent_rgb_factors_reshape = self.drawn

    def drawn(self, x: Tensor) -> Tensor:
        """Return frames as a network has them as pictures (B, 3, H, W), 0 to 1: a spectrogram, or latents as rows."""
        spectra = self.latent_channels == Mel.bins
        return coloured(level_of_spectra(self.process_out(x)) if spectra else level_of_latents(x))

    def process_in(self, latent: Tensor) -> Tensor:
        return (latent - self.shift) * self.scale_factor

    def process_out(self, latent: Tensor) -> Tensor:
        return latent / self.scale_factor + self.shift


class Network(OwnNetwork, AudioDiT):
    """AudioDiT in ComfyUI."""

    family = FAMILY
    takes_regions = True

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        t, call = flow_time(timesteps), self.call_for(x, transformer_options, kwargs)
        call = regional_call(call, kwargs, context, attention_mask, t, self.patch_size)
        return -self.velocity(x, t, context, attention_mask, call)

    def shifted_positions(self, x: Tensor, options: dict | None) -> None:
        if options is not None:
            raise ValueError("audio has no rows and columns that ComfyUI's Scale ROPE could move: remove the node")


class LuminaAudio(OwnModel):
    """Text to sounds or music."""

    network = Network
    asks_for = "audio models need text conditioning: connect CLIP Text Encode to the sampler"

    def extra_conds(self, **kwargs) -> dict:
        return super().extra_conds(**kwargs) | prompt_conds(self, kwargs, axes=1)

    def tell_size(self, noise: Tensor) -> None:
        text = length_warning(self.diffusion_model.config, noise.shape[-1])
        if text is not None and not sizes.is_scaled(self.current_patcher):
            logging.warning(text)
            progress.tell(text)


class LuminaAudioConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a model of audio."""

    family, model = FAMILY, LuminaAudio
    unet_config = {"image_model": image_model(FAMILY)}

    def __init__(self, unet_config: dict):
        super().__init__(unet_config)
        self.memory_usage_factor = memory_usage_factor(unet_config) * unet_config["patch_size"]  # a token is a row

    def format_of(self, unet_config: dict) -> Frames:
        return Frames(self.architecture(unet_config))


CONFIG = LuminaAudioConfig


def length_warning(config: AudioConfig, frames: int) -> str | None:
    """Return what to know of so many frames, None within the length of training."""
    if frames <= config.train_frames:
        return None
    seconds = frames / config.frame_rate
    return (
        f"{seconds:.1f} s is past the {config.train_seconds:.1f} s of the model's training: it may repeat itself or "
        "fall silent. Scaled RoPE in front of the sampler stretches time"
    )


def config_of(model, node: str) -> AudioConfig:
    """Return the architecture of a MODEL of audio. Raises ValueError, naming the node, for any other."""
    network = model.get_model_object("diffusion_model")
    if isinstance(network, Network):
        return network.config
    raise ValueError(
        f"{node} works with Lumina's audio models, but got a {type(model.model).__name__} model; load one with Load "
        "Lumina Audio Model, or use Empty Latent Audio for others"
    )


def empty_audio(model, seconds: float, batch_size: int) -> tuple[dict, float, str | None]:
    """Return an empty LATENT for a MODEL of audio of nearly so many seconds, how many exactly, and a warning if due."""
    config = config_of(model, "Empty Lumina Audio")
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"seconds must be above 0 and at most {MOST_SECONDS:g}, got {seconds:g}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    frames = config.frames(seconds)
    exact = frames / config.frame_rate
    shape = (batch_size, config.in_channels, frames)
    samples = torch.zeros(shape, device=comfy.model_management.intermediate_device())
    latent = {"samples": samples, "type": "audio", "downscale_ratio_temporal": CORE_RATE / config.frame_rate}
    return latent, exact, length_warning(config, frames)
