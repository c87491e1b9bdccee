"""Text-to-image Flag-DiT (Lumina-T2I) as ComfyUI's own kind of model."""

from torch import Tensor

from ....nextdit.models.flag import FAMILY, FlagDiT
from ..host.time import flow_time
from .base import OwnConfig, OwnModel, image_model
from .conditioning import text_conds
from .network import OwnNetwork


class Network(OwnNetwork, FlagDiT):
    """FlagDiT in ComfyUI."""

    family = FAMILY

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        call = self.call_for(x, transformer_options, kwargs)
        return -self.velocity(x, flow_time(timesteps), context, attention_mask, call)


class LuminaT2I(OwnModel):
    """Text to image."""

    network = Network

    def extra_conds(self, **kwargs) -> dict:
        return super().extra_conds(**kwargs) | text_conds(*self.text(kwargs))


class LuminaT2IConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a text-to-image Flag-DiT."""

    family, model = FAMILY, LuminaT2I
    unet_config = {"image_model": image_model(FAMILY)}


CONFIG = LuminaT2IConfig
