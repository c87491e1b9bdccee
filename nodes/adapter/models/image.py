"""Text to image as ComfyUI's own kind of model."""

from torch import Tensor

from ....nextdit.models.image import FAMILY, NextDiT
from ..host.time import flow_time
from ..patches.regions import prompt_conds, regional_call
from .base import OwnConfig, OwnModel, image_model
from .network import OwnNetwork


class Network(OwnNetwork, NextDiT):
    """NextDiT in ComfyUI. Regional prompts come as conds."""

    family = FAMILY
    takes_regions = True

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        t, call = flow_time(timesteps), self.call_for(x, transformer_options, kwargs)
        call = regional_call(call, kwargs, context, attention_mask, t, self.patch_size)
        return -self.velocity(x, t, context, attention_mask, call)


class LuminaNext(OwnModel):
    """Text to image."""

    network = Network

    def extra_conds(self, **kwargs) -> dict:
        return super().extra_conds(**kwargs) | prompt_conds(self, kwargs, axes=2)


class LuminaNextConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a text-to-image model."""

    family, model = FAMILY, LuminaNext
    unet_config = {"image_model": image_model(FAMILY)}


CONFIG = LuminaNextConfig
