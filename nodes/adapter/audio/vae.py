"""Sound to latents and back as a VAE, for ComfyUI's own VAE Decode Audio and VAE Encode Audio."""

import logging

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ....nextdit.encoders.audio.coder import SoundCoder
from ..models.audio import CORE_RATE

DECODED, ENCODED = 1800, 120
"""Bytes that a sample takes at most while it is made, and while it is read: BigVGAN's widest layers, and a spectrum."""


class AudioVAE(comfy.sd.VAE):
    """A VAE of mono sound around a SoundCoder. Nothing is made louder or softer: VAE Decode Audio does that once."""

    def __init__(self, coder: SoundCoder):
        with _unsaid("No VAE weights detected"):
            super().__init__(sd={})  # for what core expects of any VAE, this release's and later ones'
        # releases whose VAEs have no rate (0.3.64) take every sound for one of 44.1 kHz
        at_own_rate = hasattr(self, "audio_sample_rate")
        model = coder if at_own_rate else AtCoreRate(coder)
        self.first_stage_model = model.eval().requires_grad_(False)
        self.latent_channels, self.latent_dim, self.output_channels = coder.channels, 1, 1
        self.audio_sample_rate = coder.mel.sample_rate if at_own_rate else CORE_RATE
        self.upscale_ratio = self.downscale_ratio = coder.hop if at_own_rate else CORE_RATE / coder.frame_rate
        self.process_input = self.process_output = lambda audio: audio
        self.memory_used_decode = lambda shape, dtype: DECODED * max(1, shape[-1]) * coder.hop
        self.memory_used_encode = lambda shape, dtype: ENCODED * max(1, shape[-1])
        self.working_dtypes, self.disable_offload = [torch.float32], True
        self.device = comfy.model_management.vae_device()
        idle = comfy.model_management.vae_offload_device()
        self.vae_dtype, self.output_device = torch.float32, comfy.model_management.intermediate_device()
        self.patcher = comfy.model_patcher.ModelPatcher(model, load_device=self.device, offload_device=idle)
        self.size = comfy.model_management.module_size(coder)

    def vae_encode_crop_pixels(self, pixels: Tensor) -> Tensor:
        """Mix channels (batch, samples, channels) to one; core would keep the left one, and cut the ends."""
        return pixels.mean(dim=-1, keepdim=True)


class AtCoreRate(torch.nn.Module):
    """A SoundCoder whose sound is at 44.1 kHz."""

    def __init__(self, coder: SoundCoder):
        super().__init__()
        self.coder = coder

    def encode(self, sound: Tensor) -> Tensor:
        return self.coder.encode(resampled(sound, CORE_RATE, self.coder.mel.sample_rate))

    def decode(self, frames: Tensor) -> Tensor:
        return resampled(self.coder.decode(frames), self.coder.mel.sample_rate, CORE_RATE)


def resampled(sound: Tensor, rate: int, wanted: int) -> Tensor:
    from torchaudio.functional import resample  # which not everybody's ComfyUI can import

    return resample(sound, rate, wanted)


class _unsaid(logging.Filter):  # noqa: N801 - used as a function
    """Keep a warning of core's from the log while a block runs."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self.text not in record.getMessage()

    def __enter__(self) -> None:
        logging.getLogger().addFilter(self)

    def __exit__(self, *_) -> None:
        logging.getLogger().removeFilter(self)
