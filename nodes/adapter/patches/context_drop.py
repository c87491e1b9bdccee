"""Context drop as a patch on a MODEL: our network takes it as an argument, core's through its attention override."""

import logging
from dataclasses import replace

from comfy.patcher_extension import WrappersMP

from ....nextdit.context_drop import ContextDrop
from ..host.core_attention import (
    OVERRIDE,
    Edit,
    EditRequest,
    Place,
    check_main_layers,
    editing,
    pool_image,
    pool_mask,
    run_with_request,
)
from ..host.core_family import CoreFamily
from ..host.progress import running_node, say
from ..host.time import flow_time, time_span
from ..host.wrappers import replace_wrapper
from ..models.network import OwnNetwork
from .patchable import core_family, network_of

WRAPPER = "lumina_next_context_drop"


def drop_context(model, drop: ContextDrop, start_percent: float = 0.0, end_percent: float = 1.0):
    """Return a clone of a MODEL that drops context between two percentages of its sampling; `drop`'s own range is void.

    A second patch replaces the first, a window of 1 undoes it. Raises ValueError for models that cannot be hooked and
    options they cannot have, RuntimeError if this ComfyUI cannot do it on its own models.
    """
    network = network_of(model, "Context Drop", attention=True)
    if start_percent > end_percent:
        raise ValueError(f"start_percent {start_percent:g} is after end_percent {end_percent:g}; swap them")
    own = isinstance(network, OwnNetwork)
    if not own:
        _check_core(drop, core_family(network))
    elif network.axes.in_line and drop.window > 1:
        raise ValueError(
            "this model (Flag-DiT) counts its patches in one line, so it has no windows of rows and columns that "
            "Context Drop could average: remove the node"
        )
    patched = model.clone()
    for kind in (WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL):
        patched.remove_wrappers_with_key(kind, WRAPPER)
    if drop.window == 1:
        return patched
    count_layers = _count_layers(drop, start_percent, end_percent, network, own)
    replace_wrapper(patched, WrappersMP.APPLY_MODEL, WRAPPER, count_layers)
    if not own:
        pool = editing(WRAPPER, "Context Drop", _pool(drop.window), network, core_family(network))
        replace_wrapper(patched, WrappersMP.DIFFUSION_MODEL, WRAPPER, pool)
    return patched


def _check_core(drop: ContextDrop, family: CoreFamily) -> None:
    if drop.before_rope:
        raise ValueError(
            "pooling before RoPE works with Lumina-Next only: ComfyUI's own models hand out keys that are already "
            "rotated; set pooling to after_rope"
        )
    check_main_layers("Context Drop", family)


def _count_layers(drop: ContextDrop, start: float, end: float, network, own: bool):
    """Return the wrapper that decides, outside of what torch.compile sees, how many layers of a call drop."""
    n_layers = len(network.layers) if own else core_family(network).layers(network)
    warn = _warn_once(running_node())

    def hand_over(executor, x, t, *args, **kwargs):
        sampling = executor.class_obj.model_sampling  # now: a node after this one may have replaced it
        span = time_span(sampling, start, end)
        dropped_layers = replace(drop, start=span.start, end=span.end).layers(flow_time(t), n_layers)
        if not dropped_layers:
            return executor(x, t, *args, **kwargs)
        warn(executor.class_obj, *args, *kwargs.values())
        if own:
            return executor(x, t, *args, **kwargs, drop=drop, dropped_layers=dropped_layers)
        return run_with_request(WRAPPER, "Context Drop", EditRequest(dropped_layers), executor, x, t, *args, **kwargs)

    return hand_over


def _warn_once(node: str | None):
    """Return what warns, the first time, if a model also has core's Model Sparse Attention, which then does nothing."""
    warned = False

    def warn(model, *arguments) -> None:
        nonlocal warned
        if not warned and _has_sparse_attention(model, arguments):
            warned = True
            logging.warning(SPARSE)
            say(node, SPARSE)

    return warn


SPARSE = (
    "Context Drop and Model Sparse Attention do not add up: layers that drop context attend densely, since there are "
    "fewer keys than queries. Remove one of the two nodes."
)


def _has_sparse_attention(model, arguments: tuple) -> bool:
    options = next((x for x in arguments if isinstance(x, dict) and OVERRIDE in x), {})
    callbacks = getattr(getattr(model, "current_patcher", None), "callbacks", {})
    return "sparse_attention" in getattr(options.get(OVERRIDE), "__module__", "") or any(
        "block_sparse_attention" in by_key for by_key in callbacks.values()
    )


def _pool(window: int):
    """Return what makes the edit that pools the image's keys and values in the first layers of core's networks."""

    def make_edit(place: Place, dropped_layers: int) -> Edit:
        image = place.tokens

        def edit(q, k, v, mask, layer):
            if layer >= dropped_layers:
                return q, k, v, mask
            start = place.start_in_keys(q, k)
            k, v = (pool_image(tensor, start, image.grid, window, image.frames) for tensor in (k, v))
            return q, k, v, pool_mask(mask, start, image.grid, window, image.frames)

        return edit

    return make_edit
