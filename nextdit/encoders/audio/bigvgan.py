"""BigVGAN (arXiv 2206.04658): mel spectra to sound, by a network without aliasing in its periodic activations."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...files import read_weights
from ...text_files import read_text
from .autoencoder import check_weights

TAPS = 12
"""Length of the filters before and behind an activation, which runs at twice the rate."""


@dataclass(frozen=True)
class BigVGANConfig:
    """Architecture of a BigVGAN: what stands in its args.yml or config.json. Raises ValueError on what cannot be.

    The last three say which spectra it was trained on, None where they do not.
    """

    num_mels: int
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    resblock: str = "1"
    activation: str = "snakebeta"
    snake_logscale: bool = True
    sampling_rate: int | None = None
    fmin: float | None = None
    fmax: float | None = None

    def __post_init__(self):
        if self.resblock not in ("1", "2") or self.activation not in ("snake", "snakebeta"):
            raise ValueError(
                f"unknown vocoder of resblock {self.resblock!r} and activation {self.activation!r}, expected 1 or 2 "
                "and snake or snakebeta"
            )
        pairs = (
            (self.upsample_rates, self.upsample_kernel_sizes),
            (self.resblock_kernel_sizes, self.resblock_dilation_sizes),
        )
        if any(len(a) != len(b) or not a for a, b in pairs):
            raise ValueError(
                "the vocoder's settings have lists of different lengths, or empty ones: download them again"
            )

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return math.prod(self.upsample_rates)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> "BigVGANConfig":
        """Return the config that a mapping tells. Raises ValueError if something is missing or of a wrong kind."""
        wanted = {field.name: said[field.name] for field in fields(cls) if field.name in said}
        try:
            lists = {name: as_tuples(value) for name, value in wanted.items() if isinstance(value, list)}
            return cls(**{**wanted, **lists, "resblock": str(wanted.get("resblock", "1"))})
        except TypeError as error:
            raise ValueError(
                f"the vocoder's settings are not those of a BigVGAN ({error}): download them again"
            ) from None


def as_tuples(value: Any) -> Any:
    return tuple(as_tuples(each) for each in value) if isinstance(value, list) else value


def low_pass(ratio: int = 2) -> Tensor:
    """Return a Kaiser-windowed sinc (1, 1, TAPS) that keeps what a rate `ratio` times lower can hold."""
    half = TAPS // 2
    ripple = 2.285 * (half - 1) * math.pi * 4 * (0.6 / ratio) + 7.95
    beta = 0.1102 * (ripple - 8.7) if ripple > 50 else 0.5842 * (ripple - 21) ** 0.4 + 0.07886 * (ripple - 21)
    window = torch.kaiser_window(TAPS, beta=beta, periodic=False)
    taps = window * torch.sinc((torch.arange(-half, half) + 0.5) / ratio) / ratio
    return (taps / taps.sum()).view(1, 1, TAPS)


class Snake(nn.Module):
    """x + sin²(αx) / β, of which α and β are of a channel, and β is α where the checkpoint has none."""

    def __init__(self, channels: int, config: BigVGANConfig):
        super().__init__()
        self.logscale = config.snake_logscale
        self.alpha = nn.Parameter(torch.zeros(channels))
        if config.activation == "snakebeta":
            self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha[:, None], getattr(self, "beta", self.alpha)[:, None]
        if self.logscale:
            alpha, beta = alpha.exp(), beta.exp()
        return x + (x * alpha).sin().square() / (beta + 1e-9)


class Filter(nn.Module):
    """A low pass as a buffer, where the checkpoints keep it."""

    filter: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("filter", low_pass())


class Lowered(nn.Module):
    """Where the checkpoints keep the low pass behind an activation."""

    def __init__(self):
        super().__init__()
        self.lowpass = Filter()


class Activation(nn.Module):
    """A Snake at twice the rate, between two low passes."""

    def __init__(self, channels: int, config: BigVGANConfig):
        super().__init__()
        self.act, self.upsample, self.downsample = Snake(channels, config), Filter(), Lowered()
        self.pads = TAPS // 2 - 1, TAPS // 2

    def forward(self, x: Tensor) -> Tensor:
        channels, (pad, _) = x.shape[1], self.pads
        taps = self.upsample.filter.expand(channels, -1, -1)
        x = 2 * F.conv_transpose1d(F.pad(x, (pad, pad), mode="replicate"), taps, stride=2, groups=channels)
        x = self.act(x[..., 3 * pad : -3 * pad])
        taps = self.downsample.lowpass.filter.expand(channels, -1, -1)
        return F.conv1d(F.pad(x, self.pads, mode="replicate"), taps, stride=2, groups=channels)


class Block(nn.Module):
    """Dilated convolutions behind activations, each (or each pair, of kind "1") beside a skip connection."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], config: BigVGANConfig):
        super().__init__()

        def convs(of: tuple[int, ...]) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2) for d in of
            )

        self.paired = config.resblock == "1"
        if self.paired:
            self.convs1, self.convs2 = convs(dilations), convs((1,) * len(dilations))
        else:
            self.convs = convs(dilations)
        count = len(dilations) * (1 + self.paired)
        self.activations = nn.ModuleList(Activation(channels, config) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        if not self.paired:
            for conv, act in zip(self.convs, self.activations, strict=True):
                x = x + conv(act(x))
            return x
        pairs = zip(self.convs1, self.convs2, self.activations[::2], self.activations[1::2], strict=True)
        for first, second, act1, act2 in pairs:
            x = x + second(act2(first(act1(x))))
        return x


class BigVGAN(nn.Module):
    """Mel spectra (B, bins, T) → sound (B, T·hop) in [−1, 1]; module names are the checkpoint's keys."""

    def __init__(self, config: BigVGANConfig):
        super().__init__()
        self.config = c = config
        width = c.upsample_initial_channel
        self.conv_pre = nn.Conv1d(c.num_mels, width, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(c.upsample_rates, c.upsample_kernel_sizes, strict=True):
            up = nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(nn.Sequential(up))
            width //= 2
            for size, dilations in zip(c.resblock_kernel_sizes, c.resblock_dilation_sizes, strict=True):
                self.resblocks.append(Block(width, size, dilations, c))
        self.activation_post = Activation(width, c)
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """Raises ValueError on spectra of another number of bins."""
        if mel.shape[1] != self.config.num_mels:
            raise ValueError(
                f"the vocoder takes spectra of {self.config.num_mels} bins, got {mel.shape[1]}: use the vocoder that "
                "belongs to the model"
            )
        x, kinds = self.conv_pre(mel), len(self.config.resblock_kernel_sizes)
        for i, up in enumerate(self.ups):
            x = up(x)
            blocks = list(self.resblocks)[i * kinds : (i + 1) * kinds]
            x = torch.stack([block(x) for block in blocks]).sum(0) / kinds
        return self.conv_post(self.activation_post(x)).tanh().squeeze(1)


def without_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in which each length and direction of a kernel (two spellings of torch's) are one again."""
    found: dict[str, Tensor] = {}
    spellings = (
        (r"weight_g$", "weight_v"),
        (r"parametrizations\.weight\.original0$", "parametrizations.weight.original1"),
    )
    for key, x in weights.items():
        for length, direction in spellings:
            if re.search(length, key):
                module = re.sub(length, "", key)
                v = weights.get(module + direction)
                if v is None:
                    raise ValueError(f"{module}{direction} is missing from the vocoder: download it again")
                norm = v.flatten(1).norm(dim=1).view(-1, *[1] * (v.ndim - 1))
                found[f"{module}weight"] = v * (x / norm)
                break
        else:
            if not any(key.endswith(f".{direction}") for _, direction in spellings):
                found[key] = x
    return found


def build_bigvgan(weights: Mapping[str, Tensor], said: Mapping[str, Any]) -> BigVGAN:
    """Return the vocoder of these weights and settings, in float32. Raises ValueError if they do not fit together."""
    model = BigVGAN(BigVGANConfig.read(said))
    weights = {key: x.float() for key, x in without_weight_norm(weights).items()}
    filters = {key: x for key, x in model.state_dict().items() if key.endswith(".filter")}  # the same in every file
    weights = filters | weights
    check_weights(weights, model, "the vocoder that its settings tell of")
    model.load_state_dict(weights)
    return model.eval()


SETTINGS = ("args.yml", "args.yaml", "config.json")
WEIGHTS = ("best_netG.pt", "g_05000000", "bigvgan_generator.pt", "best_netG.safetensors")


def bigvgan_files(folder: Path) -> tuple[Path, Path] | None:
    """Return the settings and the weights in a vocoder's folder, None if it is none."""
    found = [
        next((folder / name for name in names if (folder / name).is_file()), None) for names in (SETTINGS, WEIGHTS)
    ]
    return None if None in found else (found[0], found[1])  # type: ignore[return-value]


def load_bigvgan(folder: str | Path, device: Any = "cpu") -> BigVGAN:
    """Load a vocoder from a folder with args.yml and best_netG.pt. Raises FileNotFoundError or ValueError."""
    import yaml  # comes with transformers and with ComfyUI

    found = bigvgan_files(Path(folder))
    if found is None:
        raise FileNotFoundError(f"{folder} is no vocoder's folder: it lacks {SETTINGS[0]} or {WEIGHTS[0]}")
    settings, file = found
    try:
        said = yaml.safe_load(read_text(settings))
    except yaml.YAMLError as error:
        raise ValueError(f"{settings} is not valid YAML ({error}): download it again") from error
    if not isinstance(said, Mapping):
        raise ValueError(f"{settings} holds no settings of a vocoder: download it again")
    weights = read_weights(file)
    try:
        return build_bigvgan(weights, said).to(device)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
