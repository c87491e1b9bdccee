"""The memory of one step of ComfyUI's Train LoRA, counted on the device `meta`: shapes alone, nothing is computed.

The adapters, the checkpointing and the network are ComfyUI's own; what is counted is every tensor that is alive at
once. Import it after ComfyUI is on the path.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import comfy.ldm.lumina.model as lumina
import comfy.model_management
import comfy.ops
import comfy_extras.nodes_train as training
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..shared.peak import PeakMemory

GIB = 2**30
CHANNELS, LATENT = 16, 8  # of both models' latents: channels, and pixels a side
MOMENTS = 2  # that AdamW keeps of every number


class Fused(torch.autograd.Function):
    """Attention as fused kernels keep it for the backward pass: queries, keys, values, result and a sum a row."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return a tensor like q, without its values."""
        out, sums = torch.empty_like(q), q.new_empty(q.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Return tensors like q, k, v, without their values."""
        return tuple(torch.empty_like(x) for x in ctx.saved_tensors[:3])


def fused_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: None = None, **options: Any) -> Tensor:
    """Take core's attention's place, for heads apart (B, H, N, D) as core's Lumina network has them."""
    if mask is not None or not options["skip_reshape"]:
        raise ValueError("expected queries, keys and values with their heads apart and no mask")
    return Fused.apply(q, k, v).transpose(1, 2).flatten(2)


class Adapted:
    """Stand in for the ModelPatcher that Train LoRA hangs its adapters on: they act as they do once it has loaded."""

    def __init__(self, network: nn.Module):
        self.model = nn.Module()
        self.model.diffusion_model = network

    def add_weight_wrapper(self, key: str, adapter: nn.Module) -> None:
        """Let an adapter change a weight or bias whenever it is used."""
        name, _, kind = key.rpartition(".")
        module: Any = self.model.get_submodule(name)
        functions = f"{kind}_function"
        setattr(module, functions, [*getattr(module, functions), adapter])
        module.comfy_cast_weights = True


@dataclass(frozen=True)
class Memory:
    """Bytes: of the model's weights, of the LoRA with AdamW's moments, of one step's own tensors with the gradients."""

    weights: int
    lora: int
    step: int

    @property
    def total(self) -> int:
        return self.weights + self.lora + self.step


@contextmanager
def as_in_training() -> Iterator[None]:
    """Let core do what it does while it trains: no kernels without a backward pass."""
    with (
        patch.object(comfy.model_management, "in_training", True),
        patch.object(lumina, "optimized_attention_masked", fused_attention),
    ):
        yield


def count(
    config: dict[str, Any],
    pixels: tuple[int, int],
    depth: int,
    rank: int = 8,
    text: int = 256,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "meta",
) -> Memory:
    """Return the memory of a step on one picture (height, width) with checkpoints at a depth, 0 for none."""
    with as_in_training(), torch.device(device):
        network = lumina.NextDiT(**config, dtype=dtype, operations=comfy.ops.manual_cast)
        network.requires_grad_(False).train()
        adapted = Adapted(network)
        parameters, adapters = training._setup_lora_adapters(adapted, {}, "LoRA", torch.bfloat16, rank)
        step = peak(network, pixels, depth, text, config["cap_feat_dim"])
    lora = sum(x.nbytes for x in parameters.values())
    if not adapters or any(x.grad is None for x in parameters.values() if x.requires_grad):
        raise RuntimeError("a part of the LoRA got no gradient")
    weights = sum(x.nbytes for x in network.parameters())
    return Memory(weights, lora * (1 + MOMENTS), step)


def peak(network: nn.Module, pixels: tuple[int, int], depth: int, text: int, text_dim: int) -> int:
    """Return the bytes that one forward and backward pass takes above what was there before."""
    height, width = (side // LATENT for side in pixels)
    for module in training.find_modules_at_depth(network, depth=depth) if depth else ():
        training.patch(module)
    with PeakMemory() as memory:
        x = torch.empty(1, CHANNELS, height, width, dtype=torch.bfloat16, requires_grad=True)
        features = torch.empty(1, text, text_dim, dtype=torch.bfloat16)
        out = network(x, torch.ones(1), features, num_tokens=text, transformer_options={})
        F.mse_loss(out.float(), torch.empty(out.shape)).backward()
    return memory.peak
