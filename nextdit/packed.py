"""Weights of a network on a CPU laid out once as its products read them, where torch does it again in every call."""

import torch
from torch import Tensor, nn

from .blocks import Block
from .image import NextDiT
from .layers import FeedForward
from .rows import by_rows

BLOCK = 2**20
"""Numbers in a block of tokens of the feed-forward: its hidden layer, 2⅔ times as wide, stays in the third cache."""


class PackedLinear(nn.Module):
    """A linear layer for inference that keeps its weight in oneDNN's layout, and nothing of it in the state dict."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = linear.bias

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        """Map x (…, inputs) to (…, outputs); "swish" is SiLU, applied before the result is rounded."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, activation, [], "")

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        """Return forward(x) · factor, multiplied before it is rounded."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, factor, self.packed, self.bias, "mul")


class PackedFeedForward(nn.Module):
    """SwiGLU on packed weights, in blocks of tokens; SiLU and gate are part of the products."""

    def __init__(self, plain: FeedForward):
        super().__init__()
        self.w1, self.w2, self.w3 = PackedLinear(plain.w1), PackedLinear(plain.w2), PackedLinear(plain.w3)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens x (B, N, dim) to (B, N, dim)."""
        return by_rows(lambda x: self.w2(self.w3.times(x, self.w1(x, "swish"))), x, block=BLOCK)


def packable(model: NextDiT) -> bool:
    """Tell whether `pack` takes this network: torch's own layers, bfloat16, on a CPU with instructions for it."""
    weight = next(module for module in model.modules() if isinstance(module, FeedForward)).w1
    return (
        type(weight) is nn.Linear
        and weight.weight.device.type == "cpu"
        and weight.weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack(model: NextDiT) -> NextDiT:
    """Lay out the network's large weights for its products, in place and in their own memory's stead; returns it.

    For inference only: afterwards the network can be neither saved, patched, trained, compiled nor moved to another
    device. Raises ValueError where `packable` says no.
    """
    if not packable(model):
        raise ValueError(
            "only a network of torch.nn layers in bfloat16 on a CPU that multiplies bfloat16 can be packed; "
            "load it with load_model(path, dtype=torch.bfloat16), or use it as it is"
        )
    for layer in [module for module in model.modules() if isinstance(module, Block)]:
        for name in ("wq", "wk", "wv", "wo"):
            setattr(layer.attention, name, PackedLinear(getattr(layer.attention, name)))
        layer.register_module("feed_forward", PackedFeedForward(layer.feed_forward))
    return model
