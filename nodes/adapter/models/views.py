"""Views inside CONDITIONING and LATENT: what the Multi-View Conditioning node leaves for a multi-view model.

Azimuths are left among the conditioning's `model_conds` too, which ComfyUI hands to any model. Multi-view models
replace that cond; in front of any other it stays, and raises: so no model leaves the cameras out in silence.
"""

import comfy.conds
import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from . import demo
from .conditioning import PaddedText, TextMask

AZIMUTHS, IMAGE = "multiview_azimuths", "multiview_image"
EMPTY_CHANNELS, EMPTY_RATIO = 4, 8  # of core's own empty latents, which samplers fit to the model


class Cameras(comfy.conds.CONDConstant):
    """What the node leaves in `model_conds`; using it as it is means that the model knows nothing of cameras."""

    def process_cond(self, batch_size, **kwargs):
        raise ValueError(
            "this conditioning is for several views, which only multi-view Lumina-Next models make, and the model "
            "being sampled is another one: load a multi-view checkpoint ("
            f"{demo.MULTIVIEW} comes with the pack), or remove the Multi-View Conditioning node"
        )


class PerSet:
    """A cond with a row a set of views, in front of a batch that has a row a view."""

    def __init__(self, cond: Tensor, views: int, **known):
        super().__init__(cond, **known)
        self.views = views

    def _copy_with(self, cond: Tensor):
        return type(self)(cond, self.views)

    def process_cond(self, batch_size: int, **kwargs):
        return super().process_cond(batch_size=batch_size // self.views, **kwargs)


class TextPerSet(PerSet, PaddedText):
    """Text features (k, L, D)."""


class MaskPerSet(PerSet, TextMask):
    """A text's mask (k, L)."""

    def _copy_with(self, cond: Tensor):
        return type(self)(cond, self.views, whole=self.whole)


def text_per_set(conds: dict[str, PaddedText], views: int) -> dict[str, PaddedText]:
    """Return the conds of a text and its mask with a row a set of views."""
    return {
        key: MaskPerSet(cond.cond, views, whole=cond.whole)
        if isinstance(cond, TextMask)
        else TextPerSet(cond.cond, views)
        for key, cond in conds.items()
    }


class ImagePerSet(PerSet, comfy.conds.CONDNoiseShape):
    """Condition images (k, C, h, w); cut to an area as the views are."""


def with_views(conditioning: list, azimuths: tuple[float, ...], image: Tensor | None = None) -> list:
    """Return a CONDITIONING for views at `azimuths` (degrees), with a clean latent (1 or k, C, h, w) or without one.

    What another Multi-View Conditioning has left on it goes.
    """
    out = []
    for features, options in conditioning:
        options = {key: value for key, value in options.items() if key != IMAGE}
        options |= {AZIMUTHS: list(azimuths)} | ({} if image is None else {IMAGE: image})
        conds = options.get("model_conds", {}) | {AZIMUTHS: Cameras(azimuths)}
        out.append([features, options | {"model_conds": conds}])
    return out


def empty_views(views: int, sets: int, width: int, height: int, vae=None) -> dict:
    """Return an empty LATENT of `sets`·`views` pictures: as `vae` makes them, else as core's empty latents are."""
    channels, ratio = (vae.latent_channels, vae.spacial_compression_encode()) if vae else (EMPTY_CHANNELS, EMPTY_RATIO)
    device = comfy.model_management.intermediate_device()
    samples = torch.zeros(sets * views, channels, height // ratio, width // ratio, device=device)
    return {"samples": samples, "downscale_ratio_spacial": ratio}


def encode_image(image: Tensor, vae, sets: int, width: int, height: int) -> Tensor:
    """Return the latents (1 or k, C, h, w) of an IMAGE (1 or k, rows, columns, 3 or 4), scaled and cropped to a view.

    Raises ValueError without a VAE, and for a number of images that is neither 1 nor that of the sets.
    """
    if vae is None:
        raise ValueError(
            "an image needs a VAE: connect the one that belongs to the model to vae (Load VAE's pixel_space for models "
            "in pixel space)"
        )
    if len(image) not in (1, sets):
        raise ValueError(
            f"image is a batch of {len(image)}, but batch_size is {sets}: connect one image for all sets, or set "
            f"batch_size to {len(image)} for one set of views an image"
        )
    pixels = comfy.utils.common_upscale(image[..., :3].movedim(-1, 1), width, height, "lanczos", "center")
    return vae.encode(pixels.movedim(1, -1))
