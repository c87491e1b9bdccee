"""What a run of ours is told of its size before it begins."""

import logging

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....nextdit.train_size import NativeSize, native_size
from ..host import progress
from ..host.wrappers import token_grid
from ..patches.scaled_rope import WRAPPER
from .train_size import cell_pixels

LONG = 16
"""Times the trained area from which a run is told how much longer a step takes."""


def tell(model, noise: Tensor) -> None:
    """Say on the node that samples what its size costs, where it is past the one that a model of ours knows."""
    network = model.diffusion_model
    width = network.patch_size * cell_pixels(model.latent_format)
    try:
        native = native_size(network.family.native(network.config), width, network.train_tokens)
    except ValueError:  # nothing is known of it
        return
    text = warning(native, token_grid(noise, network.patch_size), width, is_scaled(model.current_patcher))
    if text is not None:
        logging.warning(text)
        progress.tell(text)


def is_scaled(patcher) -> bool:
    """Whether Scaled RoPE is on a MODEL of ours."""
    return patcher is not None and bool(patcher.get_wrappers(WrappersMP.APPLY_MODEL, WRAPPER))


def warning(native: NativeSize, grid: tuple[int, int], width: int, scaled: bool) -> str | None:
    """Return what to know of an image on a grid of (rows, columns) tokens `width` pixels wide, None if nothing."""
    if native.factor(grid) is None:
        return None
    rows, columns = grid
    side, times = native.tokens * width, rows * columns / native.tokens**2
    image, trained = f"{columns * width} × {rows * width}", f"{side} × {side}"
    longer = f"a step takes at least {times:.0f} times as long as at {trained}" if times >= LONG else ""
    if scaled:
        return f"{image}: {longer}" if longer else None
    twice = f"{image} is past the trained {trained}: things may come twice"
    return f"{twice}{f', and {longer}' if longer else ''}. Put Scaled RoPE in front of the sampler"
