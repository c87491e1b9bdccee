"""Which MODELs the patch nodes can hook."""

from torch import nn

from ..host.core_families import FAMILIES, family_of, listed
from ..host.core_family import CoreFamily
from ..models.network import OwnNetwork


def network_of(model, node: str, attention: bool = False) -> nn.Module:
    """Return the network of a MODEL: our own, or one of core's that is known.

    Raises ValueError, naming the node and what it works with, for any other model; with `attention` that is what
    attention can be reached of.
    """
    network = model.get_model_object("diffusion_model")
    if family_of(network) or (isinstance(network, OwnNetwork) and network.family.pictures):
        return network
    names = listed(family for family in FAMILIES if not (attention and family.closed))
    raise ValueError(
        f"{node} works with Lumina-Next models and, of ComfyUI's own, with {names}, but got a "
        f"{type(model.model).__name__} model; connect one of those, or remove the node"
    )


def core_family(network: nn.Module) -> CoreFamily:
    """Return the family of one of core's networks that `network_of` lets through."""
    family = family_of(network)
    assert family is not None
    return family
