"""The SDXL autoencoder's decoder: latents in, pixels out; for use without ComfyUI, which brings its own."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files import read_header, read_weights
from ..latents import SDXL

SCALING = SDXL.scaling
"""What latents were multiplied with for Lumina-Next, after encoding: divide by it before decoding."""

Half = TypeVar("Half", bound=nn.Module)
GROUPS, EPS = 32, 1e-6
PREFIXES = ("", "first_stage_model.", "vae.")
SCORES = 2**27
"""Of attention that are computed at once: 512 MiB in float32. A picture of 2048² has 32 times as many."""
WEIGHT_FILES = ("vae/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors")

# Our key (the LDM layout) ← diffusers' AutoencoderKL, as patterns; {up} turns the order of the levels round.
DIFFUSERS = (
    (r"(\w+)\.mid_block\.resnets\.0\.(.+)", "{0}.mid.block_1.{1}"),
    (r"(\w+)\.mid_block\.resnets\.1\.(.+)", "{0}.mid.block_2.{1}"),
    (r"(\w+)\.mid_block\.attentions\.0\.group_norm\.(.+)", "{0}.mid.attn_1.norm.{1}"),
    (r"(\w+)\.mid_block\.attentions\.0\.(?:to_q|query)\.(.+)", "{0}.mid.attn_1.q.{1}"),
    (r"(\w+)\.mid_block\.attentions\.0\.(?:to_k|key)\.(.+)", "{0}.mid.attn_1.k.{1}"),
    (r"(\w+)\.mid_block\.attentions\.0\.(?:to_v|value)\.(.+)", "{0}.mid.attn_1.v.{1}"),
    (r"(\w+)\.mid_block\.attentions\.0\.(?:to_out\.0|proj_attn)\.(.+)", "{0}.mid.attn_1.proj_out.{1}"),
    (r"decoder\.up_blocks\.(\d+)\.resnets\.(\d+)\.(.+)", "decoder.up.{up}.block.{1}.{2}"),
    (r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.(.+)", "decoder.up.{up}.upsample.{1}"),
    (r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.(.+)", "encoder.down.{0}.block.{1}.{2}"),
    (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.(.+)", "encoder.down.{0}.downsample.{1}"),
    (r"(\w+)\.conv_norm_out\.(.+)", "{0}.norm_out.{1}"),
)


@dataclass(frozen=True)
class DecoderConfig:
    """Architecture of a decoder: `widths` from the finest level to the coarsest, `blocks` per level."""

    widths: tuple[int, ...]
    blocks: int
    latent_channels: int = 4
    out_channels: int = 3


class ResnetBlock(nn.Module):
    """Two normed convolutions beside a skip connection."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inputs, eps=EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, outputs, eps=EPS)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttentionBlock(nn.Module):
    """Self-attention over all positions, one head."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=EPS)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2).unsqueeze(1) for f in (self.q, self.k, self.v))  # (B, 1, HW, C)
        rows = max(1, SCORES // k.shape[2])  # GPUs have no kernel for heads as wide, and would hold all scores
        out = torch.cat([F.scaled_dot_product_attention(some, k, v) for some in q.split(rows, dim=2)], dim=2).squeeze(1)
        return x + self.proj_out(out.transpose(1, 2).reshape(x.shape))


class Level(nn.Module):
    """The blocks of one resolution, and the way to the next finer one."""

    def __init__(self, inputs: int, outputs: int, blocks: int, upsample: bool):
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks))
        if upsample:
            self.upsample = nn.ModuleDict({"conv": nn.Conv2d(outputs, outputs, 3, padding=1)})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if hasattr(self, "upsample"):
            x = self.upsample["conv"](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class Middle(nn.Module):
    """The coarsest level: block, attention, block."""

    def __init__(self, width: int):
        super().__init__()
        self.block_1 = ResnetBlock(width, width)
        self.attn_1 = AttentionBlock(width)
        self.block_2 = ResnetBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Decoder(nn.Module):
    """Latents to pixels; `up` counts levels from the finest, as the LDM keys do."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        widths, top = config.widths, len(config.widths) - 1
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(
            Level(widths[min(i + 1, top)], width, config.blocks, upsample=i > 0) for i, width in enumerate(widths)
        )
        self.norm_out = nn.GroupNorm(GROUPS, widths[0], eps=EPS)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VAEDecoder(nn.Module):
    """Decode latents (B, 4, h, w), already divided by SCALING, to pixels (B, 3, 8h, 8w) in about [-1, 1]."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)

    def forward(self, latents: Tensor) -> Tensor:
        """Raises ValueError on a wrong channel count."""
        if latents.shape[1] != self.config.latent_channels:
            raise ValueError(
                f"the VAE decodes {self.config.latent_channels} channels, but the latents have {latents.shape[1]}; "
                "use the VAE that belongs to the model"
            )
        weight = self.post_quant_conv.weight
        return self.decoder(self.post_quant_conv(latents.to(weight.device, weight.dtype)))


def find_prefix(keys: Iterable[str]) -> str | None:
    """Return what stands before the VAE's keys, None if there is no VAE."""
    keys = set(keys)
    return next((p for p in PREFIXES if {f"{p}decoder.conv_in.weight", f"{p}post_quant_conv.weight"} <= keys), None)


def vae_file(path: str | Path) -> Path:
    """Return the file of a VAE: `path`, or what a downloaded folder has of WEIGHT_FILES. Raises FileNotFoundError."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in WEIGHT_FILES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(f"{path} has no VAE; looked for {' and '.join(WEIGHT_FILES)}")


def check_vae(path: str | Path) -> None:
    """Raise FileNotFoundError or ValueError unless a file, or what a folder has, is a VAE; only its header is read."""
    file = vae_file(path)
    header = read_header(file)
    try:
        prefix_of(header)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def prefix_of(keys: Iterable[str]) -> str:
    """Return what stands before a VAE's keys. Raises ValueError if they are of no VAE."""
    found = find_prefix(keys := list(keys))
    if found is None:
        first = ", ".join(sorted(keys)[:3]) or "none"
        raise ValueError(f"not an SDXL VAE, which has decoder.conv_in.weight; its first keys: {first}")
    return found


def ldm_key(key: str, levels: int) -> str:
    """Return the LDM name of one key of either layout, `levels` being those of the decoder."""
    for pattern, ours in DIFFUSERS:
        if found := re.fullmatch(pattern, key):
            parts = found.groups()
            up = levels - 1 - int(parts[0]) if "{up}" in ours else 0
            return ours.format(*parts, up=up).replace(".conv_shortcut.", ".nin_shortcut.")
    return key


def to_ldm_keys(weights: Mapping[str, Tensor], half: tuple[str, ...]) -> dict[str, Tensor]:
    """Rename a VAE of either layout, with any known prefix, and leave out what does not start as one `half` does.

    Raises ValueError if it is no such VAE.
    """
    prefix = prefix_of(weights)
    inner = {key[len(prefix) :]: tensor for key, tensor in weights.items() if key.startswith(prefix)}
    wanted = {key: tensor for key, tensor in inner.items() if key.startswith(half)}
    levels = len({key.split(".")[2] for key in wanted if key.startswith("decoder.up")})
    renamed = {ldm_key(key, levels): tensor for key, tensor in wanted.items()}
    # diffusers keeps the attention's 1×1 convolutions as linear layers
    return {k: w[..., None, None] if ".attn_1." in k and w.ndim == 2 else w for k, w in renamed.items()}


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> DecoderConfig:
    """Read the architecture off the shapes of weights in LDM names."""
    levels = {int(m[1]) for key in shapes if (m := re.match(r"decoder\.up\.(\d+)\.", key))}
    blocks = {int(m[1]) for key in shapes if (m := re.match(r"decoder\.up\.0\.block\.(\d+)\.", key))}
    return DecoderConfig(
        widths=tuple(shapes[f"decoder.up.{i}.block.0.conv1.weight"][0] for i in sorted(levels)),
        blocks=len(blocks),
        latent_channels=shapes["decoder.conv_in.weight"][1],
        out_channels=shapes["decoder.conv_out.weight"][0],
    )


def load_vae_decoder(path: str | Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> VAEDecoder:
    """Load the decoder of an SDXL VAE, from a file or a diffusers folder, in evaluation mode.

    float32 by default, because SDXL's VAE overflows in float16. Raises FileNotFoundError or ValueError.
    """
    return load_half(
        path, ("decoder.", "post_quant_conv."), lambda shapes: VAEDecoder(infer_config(shapes)), dtype, device
    )


def load_half(
    path: str | Path,
    keys: tuple[str, ...],
    build: Callable[[Mapping[str, tuple[int, ...]]], Half],
    dtype: torch.dtype,
    device: str,
) -> Half:
    """Load what `build` makes of the shapes of a VAE's weights that start with `keys`, as `load_vae_decoder` does."""
    file = vae_file(path)
    read = read_weights(file)
    try:
        weights = to_ldm_keys(read, keys)
        del read
        with torch.device("meta"):
            model = build({key: tuple(w.shape) for key, w in weights.items()})
        ours = model.state_dict()
        wrong = sorted(k for k in ours.keys() | weights.keys() if k not in ours or k not in weights)
        wrong += [k for k in ours.keys() & weights.keys() if ours[k].shape != weights[k].shape]
        if wrong:
            raise ValueError(f"keys missing, unexpected or of the wrong shape: {', '.join(wrong[:10])}")
    except KeyError as error:
        raise ValueError(f"{file}: {error.args[0]} is missing; the file is damaged: download it again") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    model.load_state_dict({key: w.to(dtype) for key, w in weights.items()}, assign=True)
    return model.to(device).eval()
