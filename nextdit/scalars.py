"""Numbers that Python knows, on a GPU that is not to wait for them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def on_device(numbers: Sequence[float], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return numbers (n,) as a tensor that is filled on `device`: torch.tensor would copy it over, and wait."""
    return torch.stack([torch.full((), number, device=device, dtype=dtype) for number in numbers])
