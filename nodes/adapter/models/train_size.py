"""The image size that a model was trained on: what its file says, and what is known of its family."""

import math
from collections.abc import Mapping

from .image import OwnNetwork

METADATA_KEY = "train_tokens"
LEAST = 7  # RoPE scaling compares the training size with 2π
USUAL_PIXELS = 1024


def train_tokens(metadata: Mapping[str, str] | None) -> int | None:
    """Return the tokens per side in a safetensors file's metadata, None if it has none. ValueError if it is no size."""
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < LEAST:
        raise ValueError(
            f"the file's metadata says {METADATA_KEY} = {text!r}; expected a whole number of tokens per side, "
            f"{LEAST} or more. Write the file again without it, or with the right one"
        )
    return int(text)


def latent_pixels(model) -> int:
    """Return how many pixels of the image one cell of a model's latent is wide."""
    latent = model.get_model_object("latent_format")
    # releases before spacial_downscale_ratio know pixels and eighths only
    return getattr(latent, "spacial_downscale_ratio", 1 if latent.latent_channels == 3 else 8)


def latent_tokens(model, network, latent: dict) -> tuple[int, int]:
    """Return the rows and columns of tokens that a LATENT will have in a model.

    An empty latent may say how many pixels its cells are wide, and samplers resize it to what the model takes.
    """
    scale = (latent.get("downscale_ratio_spacial") or latent_pixels(model)) / latent_pixels(model)
    rows, columns = (math.ceil(round(n * scale) / network.patch_size) for n in latent["samples"].shape[-2:])
    return rows, columns


def resolve_train_tokens(model, network, pixels: int = 0) -> int:
    """Return the tokens per side in training: of images `pixels` wide, or, for 0, what is known of the model.

    That is what its file says, else 1024 pixels, on which Lumina-Next, Lumina-Image-2.0 and Z-Image were trained.
    Raises ValueError for a size too small, and if nothing is known: Next-DiTs in pixel space come in any size.
    """
    width = network.patch_size * latent_pixels(model)
    if pixels == 0 and isinstance(network, OwnNetwork):
        if network.train_tokens:
            return network.train_tokens
        if model.get_model_object("latent_format").latent_channels == 3:
            raise ValueError(
                "this model's file does not say on which image size it was trained: set train_size to that size, in "
                "pixels"
            )
    tokens = round((pixels or USUAL_PIXELS) / width)
    if tokens < LEAST:
        raise ValueError(
            f"train_size is {pixels} pixels, which are {tokens} tokens of {width} pixels; expected at least "
            f"{LEAST * width} pixels: the size that the model was trained on"
        )
    return tokens
