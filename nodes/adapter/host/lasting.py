"""What is to outlive the layer that makes it, where ComfyUI records a layer's memory."""

from contextlib import AbstractContextManager, nullcontext


def lasting() -> AbstractContextManager:
    """Return a context for making tensors that later layers use too.

    Newer core's compiler plans the memory of a layer by an earlier one, and takes what is alive after it for a leak,
    unless its recording has paused.
    """
    try:
        from comfy import model_prefetch
    except ImportError:  # older releases
        return nullcontext()
    pause = getattr(model_prefetch, "pause_malloc_graph", None)
    return nullcontext() if pause is None else pause()
