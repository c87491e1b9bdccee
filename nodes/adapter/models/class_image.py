"""Class-conditional networks as ComfyUI's own kind of model: a class comes as CONDITIONING, in place of a text."""

import comfy.latent_formats
import torch
from torch import Tensor

from ....nextdit.labels import find_label
from ....nextdit.models.class_image import FAMILY, ClassDiT
from ..host.time import flow_time
from .base import OwnConfig, OwnModel, image_model
from .conditioning import text_conds
from .network import OwnNetwork


class Network(OwnNetwork, ClassDiT):
    """ClassDiT in ComfyUI. Shares of classes come where others have text."""

    family = FAMILY

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        call = self.call_for(x, transformer_options, kwargs)
        return -self.velocity(x, flow_time(timesteps), context, attention_mask, call)


class LuminaClassImage(OwnModel):
    """A class to an image."""

    network = Network
    asks_for = "this model makes images from a class: connect Class Label to the sampler, for positive and negative"

    def extra_conds(self, **kwargs) -> dict:
        return super().extra_conds(**kwargs) | text_conds(*self.text(kwargs))

    def check_width(self, features: Tensor) -> None:
        if features.shape[-1] != self.diffusion_model.config.classes:
            raise ValueError(f"{self.asks_for}, in place of CLIP Text Encode")


class LuminaClassImageConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a class-conditional model; its latents are those of Stable Diffusion 1."""

    family, model = FAMILY, LuminaClassImage
    unet_config = {"image_model": image_model(FAMILY)}

    def format_of(self, unet_config: dict) -> comfy.latent_formats.LatentFormat:
        return comfy.latent_formats.SD15() if unet_config["in_channels"] == 4 else super().format_of(unet_config)


CONFIG = LuminaClassImageConfig


def network_of(model, node: str) -> Network:
    """Return the network of a class-conditional MODEL. Raises ValueError, naming the node, for any other."""
    network = model.get_model_object("diffusion_model")
    if isinstance(network, Network):
        return network
    raise ValueError(
        f"{node} works with class-conditional Lumina models, but got a {type(model.model).__name__} model; load one "
        "with Load Lumina-Next Model, or use CLIP Text Encode with a text-to-image model"
    )


def class_conditioning(model, imagenet_class: str, labels: str) -> tuple[list, list, str]:
    """Return CONDITIONING of classes, a row each, that of none, and what the classes are called.

    `labels` are names or numbers between commas; without any it is `imagenet_class`, as the node lists it. Raises
    ValueError if the model has none such.
    """
    config = network_of(model, "Class Label").config
    known, imagenet = config.known, config.is_imagenet
    wanted = [label for label in labels.split(",") if label.strip()]
    if not wanted and not imagenet and not isinstance(known, int):
        raise ValueError(
            f"this model has {len(known)} classes of its own, not ImageNet's: write one or several into labels, of "
            f"{', '.join(known[:40])}{', …' if len(known) > 40 else ''}"
        )
    numbers = [find_label(label, known) for label in wanted or [imagenet_class.partition(":")[0]]]
    shares = torch.zeros(len(numbers), 1, config.classes)
    shares[range(len(numbers)), 0, numbers] = 1.0
    called = ", ".join(str(n) if isinstance(known, int) else f"{n}: {known[n]}" for n in numbers)
    return [[shares, {}]], [[torch.zeros(1, 1, config.classes), {}]], called
