"""ComfyUI's attention backends behind nextdit's attend(q, k, v, mask)."""

from collections.abc import Callable

import torch
from comfy.ldm.modules import attention
from torch import Tensor

from ....nextdit.layers.attend import Attend, expand_keys, takes_grouped_keys


def knows_groups(backend: Callable) -> bool:
    """Tell whether one of core's backends honours `enable_gqa`; releases from before that option ignore it."""
    q, k = torch.ones(1, 4, 1, 8, device="cpu"), torch.ones(1, 2, 1, 8, device="cpu")
    try:
        return backend(q, k, k, 4, skip_reshape=True, enable_gqa=True).shape == (1, 1, 32)
    except (RuntimeError, TypeError):
        return False


# Those that hand grouped keys on to a kernel; the others repeat them themselves. Found out once, since nothing in the
# network's forward may ask, or torch.compile would break the graph there.
GROUPED = (attention.attention_pytorch, attention.attention_flash) if knows_groups(attention.attention_pytorch) else ()


def core_attend(transformer_options: dict) -> Attend:
    """Return an attend() that calls the backend which the user chose, by flag or by a node's override."""
    # overrides come from other packs, and few of them know grouped keys
    overridden = "optimized_attention_override" in transformer_options

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        backend, heads = attention.optimized_attention, q.shape[1]
        grouped = not overridden and backend in GROUPED and takes_grouped_keys(q, k, mask)
        k, v = (k, v) if grouped else expand_keys(q, k, v)
        options = {"enable_gqa": True} if grouped else {}
        out = backend(q, k, v, heads, mask=mask, skip_reshape=True, transformer_options=transformer_options, **options)
        return out.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, L, H·D) → (B, H, L, D)

    return attend
