"""The way into attention of core's own Lumina-Image-2.0 and Z-Image: `optimized_attention_override`.

Their main layers attend over one sequence, [text | image | padding], and say "double" as block_type and their number
as block_index; the refiner layers before them say nothing. Keys and values arrive rotated and with all heads.
"""

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....nextdit.context_drop import average_windows

OVERRIDE = "optimized_attention_override"
Edit = Callable[[Tensor, Tensor, Tensor, Tensor | None, int], tuple[Tensor, Tensor, Tensor, Tensor | None]]
"""edit(q, k, v, mask, layer) → q, k, v, mask, with q, k, v (B, H, L, D)."""


class Order:
    """What one call's attention is to be edited by, and whether that came to pass.

    It travels as an argument of the call: torch.compile sees when an argument changes, while core's compile node has
    it overlook changes of transformer_options.
    """

    def __init__(self, value):
        self.value, self.sent, self.done = value, False, False


@cache
def main_layers_are_told() -> bool:
    """Tell whether this ComfyUI's Lumina network says which layer attends (0.3.64 does not)."""
    from comfy.ldm.lumina import model

    source = inspect.getsource(model.NextDiT)
    return 'transformer_options["block_index"]' in source and '"block_type"] = "double"' in source


def check_main_layers(what: str) -> None:
    """Raise RuntimeError, naming what cannot be done, unless `main_layers_are_told`."""
    if not main_layers_are_told():
        raise RuntimeError(
            f"{what} cannot hook Lumina-Image-2.0 or Z-Image in this release of ComfyUI: their layers do not say which "
            "one attends. Update ComfyUI; if it is the latest, update this pack."
        )


def run_order(key: str, what: str, order: Order, executor, *args, **kwargs) -> Tensor:
    """Run an APPLY_MODEL wrapper's executor with an order for the `editing` wrapper of the same key.

    Raises RuntimeError, naming `what`, if attention was computed without it.
    """
    result = executor(*args, **kwargs, **{key: order})
    if order.sent and not order.done:
        raise RuntimeError(
            f"{what} did not reach this model's attention: torch.compile cannot trace the attention backend in use and "
            "keeps old code. Start ComfyUI with --use-pytorch-cross-attention, or remove the compile node."
        )
    return result


def editing(key: str, make_edit: Callable[[Tensor, torch.nn.Module, Any], Edit]) -> Callable:
    """Return a DIFFUSION_MODEL wrapper that edits the main layers' attention in calls with an order.

    make_edit(x, network, order's value) returns the edit.
    """

    def wrapper(executor, x, *args, **kwargs):
        order = kwargs.pop(key, None)
        if order is None:
            return executor(x, *args, **kwargs)
        options = dict(kwargs["transformer_options"])
        edit = make_edit(x, executor.class_obj, order.value)
        options[OVERRIDE] = _override(edit, order, options.get(OVERRIDE))
        # a wrapper further in may skip the network (EasyCache)
        order.sent = executor.idx + 1 == len(executor.wrappers)
        return executor(x, *args, **(kwargs | {"transformer_options": options}))

    return wrapper


def _override(edit: Edit, order: Order, previous: Callable | None) -> Callable:
    def override(func, q, k, v, heads, mask=None, **kwargs):
        options = kwargs["transformer_options"]
        if options.get("block_type") == "double":
            q, k, v, mask = edit(q, k, v, mask, options["block_index"])
            order.done = True
        if previous is None:
            return func(q, k, v, heads, mask=mask, **kwargs)
        return previous(func, q, k, v, heads, mask=mask, **kwargs)

    return override


def image_start(q: Tensor, tokens: int, network) -> int:
    """Return where the image's tokens begin in q (B, H, L, D): they come last but for their padding."""
    multiple = getattr(network, "pad_tokens_multiple", None) or 1
    return q.shape[2] - math.ceil(tokens / multiple) * multiple


def pool_image(x: Tensor, start: int, grid: tuple[int, int], window: int) -> Tensor:
    """Average the image's part of keys or values (B, H, L, D) over windows; what is before and after stays whole."""
    stop = start + math.prod(grid)
    return torch.cat([x[:, :, :start], average_windows(x[:, :, start:stop], grid, window), x[:, :, stop:]], dim=2)


def pool_mask(mask: Tensor | None, start: int, grid: tuple[int, int], window: int) -> Tensor | None:
    """Make a mask (…, L) over keys fit pooled ones: a window counts where any of its tokens does."""
    if mask is None:
        return None
    stop = start + math.prod(grid)
    image = mask[..., start:stop].float().reshape(-1, 1, *grid)
    pooled = F.max_pool2d(image, window, ceil_mode=True).reshape(*mask.shape[:-1], -1).to(mask.dtype)
    return torch.cat([mask[..., :start], pooled, mask[..., stop:]], dim=-1)
