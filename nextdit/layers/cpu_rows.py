"""Work on a CPU in blocks of rows that stay in its cache, where whole tensors would travel through main memory."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2**18
"""Numbers in a block of rows: 1 MB in float32, what the second cache of a core usually holds."""

SCORES = 2**20
"""Attention scores in a block: 2 MB in bfloat16. Larger blocks make faster products, smaller ones stay in the cache."""


def eager_inference_on_cpu(x: Tensor) -> bool:
    """Tell whether loops over rows can pay: elsewhere kernels are fused or large, and autograd would record each."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def by_rows(function: Callable[..., Tensor], x: Tensor, *others: Tensor, block: int = BLOCK) -> Tensor:
    """Return function(x, *others), tensors (…, N, D) all, for a function that treats every token alone.

    On a CPU a chain of such operations is bound by memory: in blocks of tokens, of `block` numbers of x, it takes a
    third to a tenth of the time.
    """
    tokens = x.shape[-2]
    count = max(1, min(tokens, -(-x.numel() // block)))
    if count == 1 or not eager_inference_on_cpu(x):
        return function(x, *others)
    rows = -(-tokens // count)  # as many to each block
    first = function(*(each[..., :rows, :] for each in (x, *others)))
    out = first.new_empty(*first.shape[:-2], tokens, first.shape[-1])
    out[..., :rows, :] = first
    for start in range(rows, tokens, rows):
        block_of = slice(start, start + rows)
        out[..., block_of, :] = function(*(each[..., block_of, :] for each in (x, *others)))
    return out


def rows_are_faster(q: Tensor, k: Tensor) -> bool:
    """Tell whether `attend_by_rows` beats PyTorch's own attention for q (B, H, L, D) and k (B, H_kv, S, D).

    Its CPU kernel uses bfloat16 products only where there is AMX; AVX-512 has had them for longer.
    """
    return (
        q.dtype == torch.bfloat16
        and eager_inference_on_cpu(q)
        and k.shape[2] >= 256
        and cpu_has("avx512_bf16")
        and not cpu_has("amx_tile")
    )


def cpu_has(feature: str) -> bool:
    """Ask torch about the processor; releases that cannot tell count as no."""
    ask = getattr(torch.cpu, f"_is_{feature}_supported", None)
    return ask is not None and ask()


def attend_by_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend from q (B, H, L, D) to k and v (B, H_kv, S, D), block by block of queries → (B, H, L, D).

    The heads that share keys are one longer sequence of queries. Scores are rounded to q's dtype.
    """
    groups, keys, scale = k.shape[0] * k.shape[1], k.shape[2], q.shape[-1] ** -0.5
    queries = q.reshape(groups, -1, q.shape[-1])  # (B·H_kv, L·H/H_kv, D)
    k = k.flatten(0, 1).transpose(1, 2)
    v = v.flatten(0, 1).transpose(1, 2).contiguous()  # (B·H_kv, D, S)
    out = q.new_empty(queries.shape)
    rows = max(64, SCORES // keys)
    for group in range(groups):
        for start in range(0, queries.shape[1], rows):
            block = queries[group, start : start + rows] * scale
            scores = F.softmax(torch.mm(block, k[group]), dim=-1)  # (rows, S)
            # values first: a product's columns fill vectors of 16, which rows do and the 72 numbers of a head do not
            out[group, start : start + rows] = torch.mm(v[group], scores.T).T
    return out.view(q.shape)
