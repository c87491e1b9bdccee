"""What lies between the products of a block by ComfyUI's own fused kernels, the package comfy-kitchen.

It also runs on a CPU, by plain operations. It has no kernel for a gated residual, nor for a norm of all heads together.
"""

import comfy_kitchen
import torch
from torch import Tensor
from torch.nn import LayerNorm, RMSNorm
from torch.utils.weak import WeakTensorKeyDictionary

from ...nextdit.layers.modulation import gated_residual

_matrices: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def matrices(table: Tensor) -> Tensor:
    """Return the angles of `table` (2, B, N, D / 2) as core has them, (B, N, 1, D / 2, 2, 2); made once a table."""
    if table not in _matrices:
        cos, sin = table
        _matrices[table] = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2)).unsqueeze(2)
    return _matrices[table]


def norm_rotate(norm: LayerNorm, x: Tensor, table: Tensor) -> Tensor:
    """As kernels.norm_rotate, the norm by PyTorch."""
    heads = norm(x).unflatten(-1, (-1, 2 * table.shape[-1]))
    return comfy_kitchen.apply_rope1(heads, matrices(table)).flatten(-2)


def scaled_norm(norm: RMSNorm, x: Tensor, scale: Tensor) -> Tensor:
    """As kernels.scaled_norm; core's kernel has no weight, so that the scale takes it in."""
    scale = (norm.weight * (1 + scale) - 1).unsqueeze(1)
    return comfy_kitchen.rms_adaln(x, scale, torch.zeros_like(scale), norm.eps)


def gated_norm(norm: RMSNorm, x: Tensor, gate: Tensor, h: Tensor) -> Tensor:
    """As kernels.gated_norm, by PyTorch."""
    return gated_residual(x, gate, norm, h)
