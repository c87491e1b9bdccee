"""The SDXL autoencoder's encoder: pixels in, latents out; its layers are the decoder's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .image_vae import EPS, GROUPS, Middle, ResnetBlock, load_half


@dataclass(frozen=True)
class EncoderConfig:
    """Architecture of an encoder: `widths` from the finest level to the coarsest, `blocks` per level."""

    widths: tuple[int, ...]
    blocks: int
    latent_channels: int = 4
    in_channels: int = 3


class Level(nn.Module):
    """The blocks of one resolution, and the way to the next coarser one."""

    def __init__(self, inputs: int, outputs: int, blocks: int, downsample: bool):
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks))
        if downsample:
            self.downsample = nn.ModuleDict({"conv": nn.Conv2d(outputs, outputs, 3, stride=2)})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if hasattr(self, "downsample"):
            x = self.downsample["conv"](F.pad(x, (0, 1, 0, 1)))  # at the right and the bottom only, as in training
        return x


class Encoder(nn.Module):
    """Pixels to moments; `down` counts levels from the finest."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        widths = config.widths
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            Level(widths[max(i - 1, 0)], width, config.blocks, downsample=i < len(widths) - 1)
            for i, width in enumerate(widths)
        )
        self.mid = Middle(widths[-1])
        self.norm_out = nn.GroupNorm(GROUPS, widths[-1], eps=EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class VAEEncoder(nn.Module):
    """Encode pixels (B, 3, 8h, 8w) in [-1, 1] to the mean latents (B, 4, h, w), yet to be multiplied by SCALING."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Raises ValueError on a wrong channel count."""
        if pixels.shape[1] != self.config.in_channels:
            raise ValueError(f"the VAE encodes {self.config.in_channels} channels, got pixels of {pixels.shape[1]}")
        weight = self.quant_conv.weight
        moments = self.quant_conv(self.encoder(pixels.to(weight.device, weight.dtype)))
        return moments[:, : self.config.latent_channels]


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> EncoderConfig:
    """Read the architecture off the shapes of weights in LDM names."""
    levels = {int(m[1]) for key in shapes if (m := re.match(r"encoder\.down\.(\d+)\.", key))}
    blocks = {int(m[1]) for key in shapes if (m := re.match(r"encoder\.down\.0\.block\.(\d+)\.", key))}
    return EncoderConfig(
        widths=tuple(shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in sorted(levels)),
        blocks=len(blocks),
        latent_channels=shapes["encoder.conv_out.weight"][0] // 2,
        in_channels=shapes["encoder.conv_in.weight"][1],
    )


def load_vae_encoder(path: str | Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> VAEEncoder:
    """Load the encoder of an SDXL VAE, from a file or a diffusers folder, as `load_vae_decoder` does the decoder."""
    return load_half(path, ("encoder.", "quant_conv."), lambda shapes: VAEEncoder(infer_config(shapes)), dtype, device)
