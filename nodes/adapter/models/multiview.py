"""Multi-view Next-DiT as ComfyUI's own kind of model: a batch of k·N latents is k sets of N views."""

import comfy.conds
from torch import Tensor

from ....nextdit.models.multiview import FAMILY, MultiViewNextDiT, Views
from ....nextdit.scalars import on_device
from ..host.time import flow_time
from ..patches import regions
from . import demo
from .base import OwnConfig, OwnModel, image_model
from .conditioning import text_conds
from .network import OwnNetwork
from .views import AZIMUTHS, IMAGE, ImagePerSet, text_per_set


class MultiViewNetwork(OwnNetwork, MultiViewNextDiT):
    """MultiViewNextDiT in ComfyUI. Azimuths and the condition image come as conds, with text a row a set."""

    family = FAMILY

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        azimuths = kwargs[AZIMUTHS]
        views = x.unflatten(0, (-1, len(azimuths)))  # (k·N, C, H, W) → (k, N, C, H, W)
        views = Views(views, on_device(azimuths, x.device).expand(len(views), -1), kwargs.get(IMAGE))
        t, call = flow_time(timesteps[:: len(azimuths)]), self.call_for(x, transformer_options, kwargs)
        return -self.velocity(views, t, context, attention_mask, call).flatten(0, 1)


class LuminaNextMultiView(OwnModel):
    """Text, an image or both to views: the conditioning says at which azimuths."""

    network = MultiViewNetwork

    def __init__(self, model_config, device=None):
        super().__init__(model_config, device)
        self.memory_usage_factor_conds = (IMAGE,)  # is one more frame

    def extra_conds(self, **kwargs) -> dict:
        if regions.KEY in kwargs.get("model_conds", {}):
            raise ValueError(
                "Regional Prompt is for single pictures, clips and sounds: remove it in front of a multi-view model"
            )
        azimuths, noise = kwargs.get(AZIMUTHS), kwargs["noise"]
        out = super().extra_conds(**kwargs)
        check_batch(azimuths, len(noise))
        views = len(azimuths)
        out |= text_per_set(text_conds(*self.text(kwargs)), views)
        image = kwargs.get(IMAGE)
        origin = azimuths[0] if image is None else 0.0  # without an image, models know azimuths relative to view 0
        out[AZIMUTHS] = comfy.conds.CONDConstant(tuple(float(azimuth - origin) for azimuth in azimuths))
        if image is not None:
            check_image(image, noise)
            out[IMAGE] = ImagePerSet(self.process_latent_in(image).to(kwargs["device"]), views)
        return out

    def extra_conds_shapes(self, **kwargs) -> dict:
        image = kwargs.get(IMAGE)
        return {} if image is None else {IMAGE: list(image.shape)}


def check_batch(azimuths: list | None, batch: int) -> None:
    """Raise ValueError without azimuths, and if the batch is not a whole number of sets of views."""
    if not azimuths:
        raise ValueError(
            "this is a multi-view model, and a conditioning that it got has no azimuths: put Multi-View Conditioning "
            "between CLIP Text Encode and the sampler, for the positive and the negative prompt, or load a "
            f"text-to-image model ({demo.MODEL} comes with the pack)"
        )
    if batch % len(azimuths):
        raise ValueError(
            f"the latent is a batch of {batch}, but the conditioning has {len(azimuths)} azimuths, and a set has one "
            f"latent an azimuth: sample the latent of the same Multi-View Conditioning, or a batch of {len(azimuths)}, "
            f"{2 * len(azimuths)}, …"
        )


def check_image(image: Tensor, noise: Tensor) -> None:
    """Raise ValueError unless a condition image's latent (1 or k, C, h, w) has the shape of a view of the noise."""
    if image.shape[1] != noise.shape[1]:
        raise ValueError(
            f"the condition image's latent has {image.shape[1]} channels, but this model takes {noise.shape[1]}: "
            "connect the VAE that belongs to the model to Multi-View Conditioning"
        )
    if image.shape[2:] != noise.shape[2:]:
        sizes = ["×".join(map(str, reversed(tensor.shape[2:]))) for tensor in (image, noise)]
        raise ValueError(
            f"the condition image's latent is {sizes[0]} (width × height), but the views' are {sizes[1]}: set width "
            "and height of Multi-View Conditioning to the views' size, and sample its latent"
        )


class LuminaNextMultiViewConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a multi-view model."""

    family, model = FAMILY, LuminaNextMultiView
    unet_config = {"image_model": image_model(FAMILY)}


CONFIG = LuminaNextMultiViewConfig
