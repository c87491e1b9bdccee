"""Make-An-Audio 2's autoencoder (arXiv 2305.18474), as released for Lumina-T2Audio: mel spectra to latents and back.

Convolutions along time only; module names are the checkpoint's keys.
"""

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...family import Shapes

GROUPS, EPS = 32, 1e-6


@dataclass(frozen=True)
class AutoencoderConfig:
    """Architecture of an autoencoder; nothing that the shapes of its weights do not tell.

    `widths` are those of the levels, of which those in `halved` halve the frames; `blocks` are to a level (the decoder
    has one more). `kernel` is that of the encoder and of the decoder's ends, `decoder_kernel` of the decoder's blocks.
    """

    widths: tuple[int, ...]
    blocks: int
    halved: tuple[int, ...]
    bins: int = 80
    latent_channels: int = 20
    middle_channels: int = 20
    kernel: int = 5
    decoder_kernel: int = 3

    @property
    def stride(self) -> int:
        """How many frames of a spectrum are one of latents."""
        return 2 ** len(self.halved)

    @classmethod
    def infer(cls, shapes: Shapes) -> "AutoencoderConfig":
        """Read the architecture off shapes. Raises ValueError if a weight that tells it is missing."""

        def counted(pattern: str) -> list[int]:
            return sorted({int(m[1]) for key in shapes if (m := re.match(pattern, key))})

        try:
            levels = counted(r"encoder\.down\.(\d+)\.block\.")
            return cls(
                widths=tuple(shapes[f"encoder.down.{i}.block.0.conv2.weight"][0] for i in levels),
                blocks=len(counted(r"encoder\.down\.0\.block\.(\d+)\.")),
                halved=tuple(counted(r"encoder\.down\.(\d+)\.downsample\.")),
                bins=shapes["encoder.conv_in.weight"][1],
                latent_channels=shapes["post_quant_conv.weight"][1],
                middle_channels=shapes["post_quant_conv.weight"][0],
                kernel=shapes["encoder.conv_in.weight"][2],
                decoder_kernel=shapes["decoder.mid.block_1.conv1.weight"][2],
            )
        except KeyError as error:
            raise ValueError(f"{error.args[0]} of the audio autoencoder is missing: download the file again") from None


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)


class ResnetBlock(nn.Module):
    """Two normed convolutions beside a skip connection."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, inputs, eps=EPS), _conv(inputs, outputs, kernel)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, outputs, eps=EPS), _conv(outputs, outputs, kernel)
        self.nin_shortcut = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class AttentionBlock(nn.Module):
    """Self-attention over all frames, one head."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=EPS)
        self.q, self.k, self.v, self.proj_out = (nn.Conv1d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (f(h).transpose(1, 2).unsqueeze(1) for f in (self.q, self.k, self.v))  # (B, 1, T, C)
        return x + self.proj_out(F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2))


class Middle(nn.Module):
    """The shortest level: block, attention, block."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.block_1, self.attn_1 = ResnetBlock(width, width, kernel), AttentionBlock(width)
        self.block_2 = ResnetBlock(width, width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    """The blocks of one length, and the way to the next: `resample` is "downsample", "upsample" or none."""

    def __init__(self, inputs: int, outputs: int, blocks: int, kernel: int, resample: str | None):
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(outputs if i else inputs, outputs, kernel) for i in range(blocks))
        if resample == "downsample":
            self.downsample = nn.ModuleDict({"conv": nn.Conv1d(outputs, outputs, 3, stride=2)})
        if resample == "upsample":
            self.upsample = nn.ModuleDict({"conv": _conv(outputs, outputs, 3)})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if hasattr(self, "downsample"):
            return self.downsample["conv"](F.pad(x, (0, 1)))
        if hasattr(self, "upsample"):
            return self.upsample["conv"](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class Encoder(nn.Module):
    """Spectra (B, bins, T) → mean and log-variance, one on the other (B, 2·channels, T / stride)."""

    def __init__(self, c: AutoencoderConfig):
        super().__init__()
        before = (c.widths[0], *c.widths)
        self.conv_in = _conv(c.bins, before[0], c.kernel)
        self.down = nn.ModuleList(
            Level(before[i], width, c.blocks, c.kernel, "downsample" if i in c.halved else None)
            for i, width in enumerate(c.widths)
        )
        self.mid = Middle(c.widths[-1], c.kernel)
        self.norm_out = nn.GroupNorm(GROUPS, c.widths[-1], eps=EPS)
        self.conv_out = _conv(c.widths[-1], 2 * c.middle_channels, c.kernel)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Latents → spectra (B, bins, T·stride); `up` counts levels from the longest, as the keys do."""

    def __init__(self, c: AutoencoderConfig):
        super().__init__()
        widths, top = c.widths, len(c.widths) - 1
        self.conv_in = _conv(c.middle_channels, widths[-1], c.kernel)
        self.mid = Middle(widths[-1], c.decoder_kernel)
        self.up = nn.ModuleList(
            # one level behind the encoder's (reference code)
            Level(widths[min(i + 1, top)], w, c.blocks + 1, c.decoder_kernel, "upsample" if i - 1 in c.halved else None)
            for i, w in enumerate(widths)
        )
        self.norm_out = nn.GroupNorm(GROUPS, widths[0], eps=EPS)
        self.conv_out = _conv(widths[0], c.bins, c.kernel)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class AudioAutoencoder(nn.Module):
    """Mel spectra (B, bins, T) to latents (B, channels, T / stride) and back."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv = nn.Conv1d(2 * config.middle_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = nn.Conv1d(config.latent_channels, config.middle_channels, 1)

    def moments(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the latents of spectra; what does not fill a latent is cut off."""
        length = mel.shape[-1] // self.config.stride * self.config.stride
        if not length:
            raise ValueError(f"the spectrum has {mel.shape[-1]} frames, a latent is {self.config.stride}: give it more")
        mean, log_variance = self.quant_conv(self.encoder(mel[..., :length])).chunk(2, dim=1)
        return mean, (0.5 * log_variance.clamp(-30.0, 20.0)).exp()

    def decode(self, latents: Tensor) -> Tensor:
        """Return the spectra of latents, as `moments` gives them. Raises ValueError on a wrong channel count."""
        if latents.ndim != 3 or latents.shape[1] != self.config.latent_channels:
            raise ValueError(
                f"the autoencoder decodes (batch, {self.config.latent_channels}, frames), got {tuple(latents.shape)}; "
                "use the VAE that belongs to the model"
            )
        return self.decoder(self.post_quant_conv(latents))


def build_autoencoder(weights: dict[str, Tensor]) -> AudioAutoencoder:
    """Return the autoencoder that has these weights, in their dtype. Raises ValueError, naming keys, if none has."""
    shapes = {key: tuple(x.shape) for key, x in weights.items()}
    with torch.device("meta"):
        model = AudioAutoencoder(AutoencoderConfig.infer(shapes))
    check_weights(weights, model, "the audio autoencoder")
    model.load_state_dict(weights, assign=True)
    return model.eval()


def check_weights(weights: dict[str, Tensor], model: nn.Module, what: str) -> None:
    """Raise ValueError, naming up to ten keys, unless weights are those of a module."""
    ours, theirs = ({k: tuple(x.shape) for k, x in w.items()} for w in (model.state_dict(), weights))
    wrong = [f"{key} is missing" for key in ours if key not in theirs]
    wrong += [f"{key} is unexpected" for key in theirs if key not in ours]
    wrong += [
        f"{key} has shape {theirs[key]}, expected {ours[key]}"
        for key in ours
        if theirs.get(key, ours[key]) != ours[key]
    ]
    if wrong:
        more = f"; and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise ValueError(f"these are not the weights of {what}: {'; '.join(wrong[:10])}{more}: download it again")
