"""Our network and diffusers', with the same weights, ready to be called with the same inputs."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nextdit import NextDiT, NextDiTConfig
from ...nextdit.families import to_model_keys

FLOAT8 = {"fp8 e4m3fn": torch.float8_e4m3fn, "fp8 e5m2": torch.float8_e5m2}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, **{name: torch.bfloat16 for name in FLOAT8}}


class CastLinear(nn.Linear):
    """A layer whose weights are stored in 8 bits and cast at use, as ComfyUI does on devices without fp8 products."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class CastOperations:
    """What NextDiT takes for `operations`, with layers that cast."""

    Linear, LayerNorm, RMSNorm = CastLinear, nn.LayerNorm, nn.RMSNorm


@dataclass
class Inputs:
    """What one call gets: latents (B, C, H, W), times (B,), text (B, L, D) and its mask or None."""

    x: Tensor
    t: Tensor
    text: Tensor
    mask: Tensor | None


def make_inputs(config: NextDiTConfig, grid: tuple[int, int], lengths: list[int], dtype, device, t=0.4) -> Inputs:
    """Return seeded inputs of one image per entry of `lengths`, text padded to the longest; a mask only if need be."""
    generator = torch.Generator().manual_seed(1)
    batch, longest = len(lengths), max(lengths)
    size = [n * config.patch_size for n in grid]
    x = torch.randn(batch, config.in_channels, *size, generator=generator)
    text = torch.randn(batch, longest, config.text_dim, generator=generator)
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    x, text = x.to(device, dtype), text.to(device, dtype)
    return Inputs(x, torch.full((batch,), t, device=device), text, None if mask.all() else mask.to(device))


def random_weights(model: nn.Module) -> None:
    """Fill a network with seeded numbers as trained ones are spread: nothing is shut, nothing overflows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
            else:
                parameter.normal_(mean=0.5, std=0.3)


def their_network(config: NextDiTConfig, dtype: torch.dtype, device) -> nn.Module:
    """Return diffusers' network; both of its copies of each query and its norm are one."""
    from diffusers import LuminaNextDiT2DModel

    c = config
    with torch.device(device):  # a CPU would take 13 s to draw what is then drawn anew
        model: Any = LuminaNextDiT2DModel(
            sample_size=128,
            patch_size=c.patch_size,
            in_channels=c.in_channels,
            hidden_size=c.dim,
            num_layers=c.n_layers,
            num_attention_heads=c.n_heads,
            num_kv_heads=c.n_kv_heads,
            learn_sigma=c.out_channels > c.in_channels,
            qk_norm=c.qk_norm,
            cross_attention_dim=c.text_dim,
        )
    random_weights(model)
    for layer in model.layers:
        layer.attn2.to_q.weight = layer.attn1.to_q.weight
        layer.attn2.norm_q = layer.attn1.norm_q
    return model.to(dtype).eval()


def our_network(theirs: nn.Module, config: NextDiTConfig) -> NextDiT:
    """Return our network on the very tensors of theirs, so that the weights are in memory once."""
    with torch.device("meta"):
        model = NextDiT(config)
    model.load_state_dict(to_model_keys(theirs.state_dict()), assign=True)
    return model.eval()


def in_8_bits(model: NextDiT, dtype: torch.dtype) -> NextDiT:
    """Return a copy whose layers keep their weights in 8 bits."""
    with torch.device("meta"):
        small = NextDiT(model.config, operations=CastOperations)
    linear = {f"{name}.weight" for name, module in small.named_modules() if isinstance(module, nn.Linear)}
    weights = {key: x.to(dtype) if key in linear else x for key, x in model.state_dict().items()}
    small.load_state_dict(weights, assign=True)
    return small.eval()


def their_rotary(head_dim: int, device: torch.device) -> Tensor:
    """Return diffusers' table of 384² positions, made on the device."""
    from diffusers.models.embeddings import get_2d_rotary_pos_embed_lumina

    with torch.device(device):
        return get_2d_rotary_pos_embed_lumina(head_dim, 384, 384, linear_factor=1.0, ntk_factor=1.0)


def their_call(model, inputs: Inputs, rotary: Tensor | None = None) -> Tensor:
    """Call diffusers' network as its pipeline does, mask of ones included; the mean's half only.

    The pipeline makes the table of positions in every step on the CPU, as is done here if none is given.
    """
    rotary = their_rotary(model.head_dim, torch.device("cpu")) if rotary is None else rotary
    x, text = inputs.x, inputs.text
    mask = torch.ones(text.shape[:2], device=x.device) if inputs.mask is None else inputs.mask
    t = inputs.t.to(x.dtype)  # the pipeline keeps times in the network's dtype
    out = model(x, t, text, mask.to(x.dtype), rotary, cross_attention_kwargs={}, return_dict=False)[0]
    return out[:, : x.shape[1]]
