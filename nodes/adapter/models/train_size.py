"""The native size of a MODEL: nextdit's rule, told what ComfyUI knows of the model."""

import math

from ....nextdit.train_size import NativeSize, native_size
from ..host.core_families import family_of, patch_of
from .network import OwnNetwork


def latent_pixels(model) -> int:
    """Return how many pixels of the image one cell of a model's latent is wide."""
    return cell_pixels(model.get_model_object("latent_format"))


def cell_pixels(latent_format) -> int:
    """Return how many pixels of the image one cell of latents of this format is wide."""
    # releases before spacial_downscale_ratio know pixels and eighths only
    return getattr(latent_format, "spacial_downscale_ratio", 1 if latent_format.latent_channels == 3 else 8)


def token_pixels(model, network) -> int:
    """Return how many pixels of the image one token of a model is wide."""
    return patch_of(network) * latent_pixels(model)


def latent_tokens(model, network, latent: dict) -> tuple[int, int]:
    """Return the rows and columns of tokens that a LATENT will have in a model.

    An empty latent may say how many pixels its cells are wide, and samplers resize it to what the model takes.
    """
    scale = (latent.get("downscale_ratio_spacial") or latent_pixels(model)) / latent_pixels(model)
    rows, columns = (math.ceil(round(n * scale) / patch_of(network)) for n in latent["samples"].shape[-2:])
    return rows, columns


def latent_size(latent: dict) -> tuple[int, int]:
    """Return height and width in pixels of the picture of a LATENT, whichever model it is for.

    A latent that does not say how wide its cells are has pixels if it has 3 channels, else eighths, as most have.
    """
    samples = latent["samples"]
    cell = latent.get("downscale_ratio_spacial") or (1 if samples.shape[1] == 3 else 8)
    height, width = (n * cell for n in samples.shape[-2:])
    return height, width


def native_size_of(model, network, pixels: int = 0) -> NativeSize:
    """Return the native size of a MODEL: of images `pixels` wide, or, for 0, what is known of it.

    Raises ValueError as `native_size` does.
    """
    own = isinstance(network, OwnNetwork)
    told = network.train_tokens if own else None
    return native_size(family_key(model, network), token_pixels(model, network), told, pixels)


def family_key(model, network) -> str | None:
    """Return the key of NATIVE for a MODEL, None where there is none."""
    if isinstance(network, OwnNetwork):
        return network.family.native(network.config)
    family = family_of(network)
    return family.native(model.model.model_config.unet_config) if family else None
