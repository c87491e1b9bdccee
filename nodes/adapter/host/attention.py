"""ComfyUI's attention backends behind nextdit's attend(q, k, v, mask)."""

import inspect
from collections.abc import Callable
from functools import cache

from comfy.ldm.modules import attention
from torch import Tensor


@cache
def _core_takes_grouped_keys() -> bool:
    """Tell whether core's backends expand grouped K/V themselves; releases before `enable_gqa` ignore the option."""
    return "enable_gqa" in inspect.getsource(attention)


def core_attend(transformer_options: dict) -> Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]:
    """Return an attend() that calls the backend which the user chose, by flag or by a node's override."""
    # overrides come from other packs, and few of them know grouped keys
    grouped = _core_takes_grouped_keys() and "optimized_attention_override" not in transformer_options

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        heads, repeats = q.shape[1], q.shape[1] // k.shape[1]
        options = {}
        if repeats > 1 and grouped:
            options["enable_gqa"] = True
        elif repeats > 1:
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        out = attention.optimized_attention(
            q, k, v, heads, mask=mask, skip_reshape=True, transformer_options=transformer_options, **options
        )
        return out.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, L, H·D) → (B, H, L, D)

    return attend
