"""Triton kernels for what lies between the products of a block: each reads and writes its tokens once.

One program a token. They compute in float32 and round at the end, so are closer to the exact result than the
operations that they replace. For inference only.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import LayerNorm, RMSNorm


@triton.jit
def norm_rotate_kernel(
    x, weight, bias, table, out, tokens, row_stride, batch_stride, sin_offset, eps,
    WIDTH: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """LayerNorm over a token's heads together, then each head's pairs turned by the token's angles."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    value = tl.load(x + row * row_stride + columns, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, value - tl.sum(value, 0) / WIDTH, 0.0)
    value = centred / tl.sqrt(tl.sum(centred * centred, 0) / WIDTH + eps)
    value = value * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    a, b = tl.split(tl.reshape(value, (BLOCK // 2, 2)))
    pairs = tl.arange(0, BLOCK // 2)
    angle = table + (row // tokens) * batch_stride + (row % tokens) * HALF + pairs % HALF
    cos = tl.load(angle, mask=pairs < WIDTH // 2, other=0.0)
    sin = tl.load(angle + sin_offset, mask=pairs < WIDTH // 2, other=0.0)
    turned = tl.reshape(tl.join(a * cos - b * sin, a * sin + b * cos), (BLOCK,))
    tl.store(out + row * WIDTH + columns, turned.to(out.dtype.element_ty), mask=inside)


@triton.jit
def scaled_norm_kernel(x, weight, scale, out, tokens, scale_stride, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """RMS norm of a token, times 1 + its picture's scale."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    value = tl.load(x + row * WIDTH + columns, mask=inside, other=0.0).to(tl.float32)
    value = value / tl.sqrt(tl.sum(value * value, 0) / WIDTH + eps)
    value = value * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    value *= 1.0 + tl.load(scale + (row // tokens) * scale_stride + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * WIDTH + columns, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gated_norm_kernel(x, gate, weight, h, out, tokens, gate_stride, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """A token plus the RMS norm of what a sub-layer made, times the tanh of its picture's gate."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    value = tl.load(h + row * WIDTH + columns, mask=inside, other=0.0).to(tl.float32)
    value = value / tl.sqrt(tl.sum(value * value, 0) / WIDTH + eps)
    value = value * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    opening = tl.load(gate + (row // tokens) * gate_stride + columns, mask=inside, other=0.0).to(tl.float32)
    value *= 2.0 / (1.0 + tl.exp(-2.0 * opening)) - 1.0  # tanh
    value += tl.load(x + row * WIDTH + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * WIDTH + columns, value.to(out.dtype.element_ty), mask=inside)


def norm_rotate(norm: LayerNorm, x: Tensor, table: Tensor) -> Tensor:
    """Return norm(x) with every head's pairs turned; x (B, N, H·D), table (2, 1 or B, N, D / 2) float32.

    Rows of x may have a distance, as parts of one product have.
    """
    batch, tokens, width = x.shape
    x = x if x.stride(2) == 1 and x.stride(0) == tokens * x.stride(1) else x.contiguous()
    table, out = table.contiguous(), x.new_empty(batch, tokens, width)
    half = table.shape[-1]
    each = 0 if table.shape[1] == 1 else tokens * half
    norm_rotate_kernel[(batch * tokens,)](
        x, norm.weight, norm.bias, table, out, tokens, x.stride(1), each, table.stride(0), norm.eps,
        WIDTH=width, HALF=half, BLOCK=triton.next_power_of_2(width), num_warps=8,
    )  # fmt: skip
    return out


def scaled_norm(norm: RMSNorm, x: Tensor, scale: Tensor) -> Tensor:
    """Return norm(x) · (1 + scale); x (B, N, D), scale (B, D)."""
    batch, tokens, width = x.shape
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    block = triton.next_power_of_2(width)
    scaled_norm_kernel[(batch * tokens,)](
        x, norm.weight, scale, out, tokens, scale.stride(0), norm.eps, WIDTH=width, BLOCK=block, num_warps=8
    )
    return out


def gated_norm(norm: RMSNorm, x: Tensor, gate: Tensor, h: Tensor) -> Tensor:
    """Return x + tanh(gate) · norm(h); x and h (B, N, D), gate (B, D)."""
    batch, tokens, width = x.shape
    x, h = x.contiguous(), h.contiguous()
    out, block = torch.empty_like(x), triton.next_power_of_2(width)
    gated_norm_kernel[(batch * tokens,)](
        x, gate, norm.weight, h, out, tokens, gate.stride(0), norm.eps, WIDTH=width, BLOCK=block, num_warps=8
    )
    return out
