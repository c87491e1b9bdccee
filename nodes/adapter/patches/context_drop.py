"""Context drop as a patch on a MODEL: our network takes it as an argument, core's through its attention override."""

import math

from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ....nextdit.context_drop import ContextDrop
from ..host.core_attention import Edit, Order, check_main_layers, editing, image_start, pool_image, pool_mask, run_order
from ..models.image import OwnNetwork
from .patchable import network_of, replace_wrapper, token_grid

KEY = "lumina_next_context_drop"


def drop_context(model, drop: ContextDrop, start_percent: float = 0.0, end_percent: float = 1.0):
    """Return a clone of a MODEL that drops context between two percentages of its sampling; `drop`'s own range is void.

    A second patch replaces the first, a window of 1 undoes it. Raises ValueError for models that cannot be hooked and
    options they cannot have, RuntimeError if this ComfyUI cannot do it on its own models.
    """
    network = network_of(model, "Context Drop")
    if start_percent > end_percent:
        raise ValueError(f"start_percent {start_percent:g} is after end_percent {end_percent:g}; swap them")
    own = isinstance(network, OwnNetwork)
    if not own:
        _check_core(drop)
    patched = model.clone()
    for kind in (WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL):
        patched.remove_wrappers_with_key(kind, KEY)
    if drop.window == 1:
        return patched
    replace_wrapper(patched, WrappersMP.APPLY_MODEL, KEY, _count_layers(drop, start_percent, end_percent, network, own))
    if not own:
        replace_wrapper(patched, WrappersMP.DIFFUSION_MODEL, KEY, editing(KEY, _pool(drop.window)))
    return patched


def _check_core(drop: ContextDrop) -> None:
    if drop.before_rope:
        raise ValueError(
            "pooling before RoPE works with Lumina-Next only: ComfyUI's own Lumina-Image-2.0 and Z-Image hand out keys "
            "that are already rotated. Set pooling to after_rope."
        )
    check_main_layers("Context Drop")


def _count_layers(drop: ContextDrop, start: float, end: float, network, own: bool):
    """Return the wrapper that decides, outside of what torch.compile sees, how many layers of a call drop."""
    n_layers = len(network.layers)

    def hand_over(executor, x, t, *args, **kwargs):
        sampling = executor.class_obj.model_sampling  # now: a node after this one may have replaced it
        first, last = (1.0 - float(sampling.percent_to_sigma(percent)) for percent in (start, end))
        dropping = ContextDrop(drop.window, drop.fade, drop.before_rope, first, last).layers(1.0 - t, n_layers)
        if not dropping:
            return executor(x, t, *args, **kwargs)
        if own:
            return executor(x, t, *args, **kwargs, drop=drop, dropping=dropping)
        return run_order(KEY, "Context Drop", Order(dropping), executor, x, t, *args, **kwargs)

    return hand_over


def _pool(window: int):
    """Return what makes the edit that pools the image's keys and values in the first layers of core's networks."""

    def make_edit(x: Tensor, network: nn.Module, dropping: int) -> Edit:
        grid = token_grid(x, network.patch_size)

        def edit(q, k, v, mask, layer):
            if layer >= dropping:
                return q, k, v, mask
            start = image_start(q, math.prod(grid), network)
            k, v = (pool_image(tensor, start, grid, window) for tensor in (k, v))
            return q, k, v, pool_mask(mask, start, grid, window)

        return edit

    return make_edit
