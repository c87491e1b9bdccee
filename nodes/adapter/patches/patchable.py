"""Which MODELs the patch nodes can hook."""

from ..models.network import OwnNetwork


def network_of(model, node: str):
    """Return the network of a MODEL: our own, or core's NextDiT (Lumina-Image-2.0, Z-Image).

    Raises ValueError, naming the node and what it works with, for any other model.
    """
    from comfy.ldm.lumina.model import NextDiT  # here: if a release moves it, only the patch nodes are to fail

    network = model.get_model_object("diffusion_model")
    if isinstance(network, NextDiT) or (isinstance(network, OwnNetwork) and network.family.pictures):
        return network
    raise ValueError(
        f"{node} works with Lumina-Next, Lumina-Image-2.0 and Z-Image models, but got a {type(model.model).__name__} "
        "model; connect one of those, or remove the node"
    )
