"""Networks that compute the same as ours by other means, to be measured before the product takes any of it up."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nextdit import NextDiT
from ...nextdit.blocks import NextBlock
from ...nextdit.layers.attention import Attending
from ...nextdit.layers.modulation import gated_residual, norm_modulate
from ...nextdit.layers.rope import rotate

KERNELS = {"own": "kernels", "core": "core_kernels"}


@dataclass(frozen=True)
class Variant:
    """`merged`: one product for query, key and value, and one for both halves of SwiGLU.

    `kernels`: "own" are those of kernels.py, "core" those of ComfyUI, "" are none.
    """

    merged: bool = False
    kernels: str = ""

    @property
    def fused(self) -> ModuleType:
        """The module with the fused kernels. Raises ImportError where theirs is not installed."""
        return import_module(f".{KERNELS[self.kernels]}", __package__)


class VariantBlock(nn.Module):
    """A NextBlock by other means; its weights are the block's own, but for merged ones, which are copies."""

    def __init__(self, block: NextBlock, variant: Variant):
        super().__init__()
        self.block, self.variant = block, variant
        a, f = block.attention, block.feed_forward
        if variant.merged:
            self.qkv = torch.cat([a.wq.weight, a.wk.weight, a.wv.weight]).detach()
            self.w13 = torch.cat([f.w1.weight, f.w3.weight]).detach()

    def forward(self, x: Tensor, text: Tensor, condition: Tensor, how: Attending) -> Tensor:
        """As NextBlock.forward."""
        b = self.block
        scale_a, gate_a, scale_f, gate_f = b.adaLN_modulation(condition).chunk(4, dim=-1)
        h = self.attention(self.scaled(b.attention_norm1, x, scale_a), b.attention_y_norm(text), how)
        x = self.added(x, gate_a, b.attention_norm2, h)
        h = self.feed_forward(self.scaled(b.ffn_norm1, x, scale_f))
        return self.added(x, gate_f, b.ffn_norm2, h)

    def attention(self, x: Tensor, text: Tensor, how: Attending) -> Tensor:
        """As Attention.forward, without context drop."""
        a = self.block.attention
        if how.pool is not None:
            raise ValueError("variants of the network know no context drop: call them without")
        if self.variant.merged:
            widths = [a.wq.out_features, a.wk.out_features, a.wv.out_features]
            q, k, v = F.linear(x, self.qkv).split(widths, dim=-1)
        else:
            q, k, v = a.wq(x), a.wk(x), a.wv(x)
        q, k = self.turned(a.q_norm, q, how.rotary), self.turned(a.k_norm, k, how.rotary)
        k_text, v_text = a.heads(a.ky_norm(a.wk_y(text))), a.heads(a.wv_y(text))
        out = how.attend(q if how.logit_scale == 1.0 else q * how.logit_scale, k, a.heads(v), None)
        out = a.gate(out, how.cross(q, k_text, v_text, how.text_mask))
        return a.wo(out.transpose(1, 2).flatten(-2))

    def turned(self, norm: nn.Module, x: Tensor, rotary: Tensor) -> Tensor:
        """Normalise all heads of x (B, N, H·D) together and rotate each → (B, H, N, D)."""
        heads = self.block.attention.heads
        if not self.variant.kernels or not isinstance(norm, nn.LayerNorm):
            return rotate(heads(norm(x)), rotary)
        return heads(self.variant.fused.norm_rotate(norm, x, rotary))

    def scaled(self, norm: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
        if not self.variant.kernels or not isinstance(norm, nn.RMSNorm):
            return norm_modulate(norm, x, scale)
        return self.variant.fused.scaled_norm(norm, x, scale)

    def added(self, x: Tensor, gate: Tensor, norm: nn.Module, h: Tensor) -> Tensor:
        if not self.variant.kernels or not isinstance(norm, nn.RMSNorm):
            return gated_residual(x, gate, norm, h)
        return self.variant.fused.gated_norm(norm, x, gate, h)

    def feed_forward(self, x: Tensor) -> Tensor:
        f = self.block.feed_forward
        if not self.variant.merged:
            return f(x)
        a, b = F.linear(x, self.w13).chunk(2, dim=-1)
        return f.w2(F.silu(a) * b)


def variant_of(model: NextDiT, variant: Variant) -> NextDiT:
    """Return a network on the weights of another that computes by other means."""
    with torch.device("meta"):
        other = NextDiT(model.config)
    other.load_state_dict(model.state_dict(), assign=True)
    other.layers = nn.ModuleList(VariantBlock(layer, variant) for layer in model.layers)
    return other.eval()
