"""Which MODELs the patch nodes can hook, and what their wrappers read from a call."""

import math

from torch import Tensor

from ..models.network import OwnNetwork


def network_of(model, node: str):
    """Return the network of a MODEL: our own, or core's NextDiT (Lumina-Image-2.0, Z-Image).

    Raises ValueError, naming the node and what it works with, for any other model.
    """
    from comfy.ldm.lumina.model import NextDiT  # here: if a release moves it, only the patch nodes are to fail

    network = model.get_model_object("diffusion_model")
    if isinstance(network, OwnNetwork | NextDiT):
        return network
    raise ValueError(
        f"{node} works with Lumina-Next, Lumina-Image-2.0 and Z-Image models, but got a {type(model.model).__name__} "
        "model. Connect one of those, or remove the node."
    )


def token_grid(x: Tensor, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of tokens of a latent (B, C, H, W); odd sizes count as padded."""
    return math.ceil(x.shape[-2] / patch_size), math.ceil(x.shape[-1] / patch_size)


def replace_wrapper(patcher, kind: str, key: str, wrapper) -> None:
    """Add a wrapper to a patcher; the one that an earlier node of the same kind added under `key` goes."""
    patcher.remove_wrappers_with_key(kind, key)
    patcher.add_wrapper_with_key(kind, key, wrapper)
