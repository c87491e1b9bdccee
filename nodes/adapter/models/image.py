"""Text to image as ComfyUI's own kind of model."""

import comfy.conds
from torch import Tensor

from ....nextdit.models.image import FAMILY, NextDiT
from ..host.time import flow_time
from ..patches.regions import KEY, MASKS, regional_call, regional_conds
from .base import OwnConfig, OwnModel, image_model
from .conditioning import text_conds
from .network import OwnNetwork


class Network(OwnNetwork, NextDiT):
    """NextDiT in ComfyUI. Regional prompts come as conds."""

    family = FAMILY
    takes_regions = True

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        t, call = flow_time(timesteps), self.call_for(x, transformer_options, kwargs)
        if kwargs.get(KEY) is not None:
            call = regional_call(call, kwargs[KEY], kwargs[MASKS], context, attention_mask, t, self.patch_size)
        return -self.velocity(x, t, context, attention_mask, call)


class LuminaNext(OwnModel):
    """Text to image."""

    network = Network

    def extra_conds(self, **kwargs) -> dict:
        out = super().extra_conds(**kwargs)
        features, mask = self.text(kwargs)
        prompts = kwargs.get("model_conds", {}).get(KEY)
        if prompts is None:
            return out | text_conds(features, mask)
        for prompt in prompts.cond:
            self.check_width(prompt.features)
        if prompts.zeroed(features):
            return out | text_conds(features, mask) | {KEY: comfy.conds.CONDConstant(None)}
        return out | regional_conds(prompts, features, mask, kwargs["noise"], kwargs["device"], self.model_sampling)


class LuminaNextConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a text-to-image model."""

    family, model = FAMILY, LuminaNext
    unet_config = {"image_model": image_model(FAMILY)}


CONFIG = LuminaNextConfig
