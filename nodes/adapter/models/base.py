"""What ComfyUI has around each of our networks: the model that is sampled, and how it is found, built and saved."""

from dataclasses import fields
from functools import partial
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.supported_models_base
import torch
from torch import Tensor

from ....nextdit.checkpoint import check_keys
from ....nextdit.families import recognised
from ....nextdit.family import Family, as_fact
from ....nextdit.train_size import FRAMES_KEY, METADATA_KEY
from ..host.decoding import check_decoders
from . import sizes
from .network import OwnNetwork
from .pixels import Pixels

LATENT_FORMATS = {4: comfy.latent_formats.SDXL, 16: comfy.latent_formats.Flux}  # of 3 channels: Pixels


def image_model(family: Family) -> str:
    """Return what detection calls a family in ComfyUI's unet_config."""
    return f"lumina_next_{family.name}"


class OwnModel(comfy.model_base.BaseModel):
    """The flow model around one of our networks: what enters it, checked once per run."""

    network: type[OwnNetwork]
    asks_for = "Lumina-Next needs text conditioning: connect CLIP Text Encode to the sampler"

    def __init__(self, model_config, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=self.network)

    def process_timestep(self, timestep: Tensor, **kwargs) -> Tensor:
        # ModelSamplingSD3 counts to 1000 whatever the model wants; the network wants sigma itself
        return timestep / getattr(self.model_sampling, "multiplier", 1.0)

    def text(self, conditioning: dict) -> tuple[Tensor, Tensor | None]:
        """Return a conditioning's text features and mask. Raises ValueError without any, and for a wrong width."""
        features = conditioning.get("cross_attn")
        if features is None:
            raise ValueError(self.asks_for)
        self.check_width(features)
        return features, conditioning.get("attention_mask")

    def check_width(self, features: Tensor) -> None:
        """Raise ValueError if text features do not fit this model."""
        self.diffusion_model.config.check_text(features.shape[-1])

    def extra_conds(self, **kwargs) -> dict:
        noise = kwargs["noise"]
        self.diffusion_model.config.check_latent(noise.shape)  # an empty latent meets no other check
        check_decoders(noise.shape[1], type(self.latent_format).__name__)
        if kwargs.get("prompt_type") == "positive" and not kwargs.get("area"):  # once a run, of the whole picture
            self.tell_size(noise)
        return super().extra_conds(**kwargs)

    def tell_size(self, noise: Tensor) -> None:
        """Say on the node that samples what there is to know of a latent's size."""
        sizes.tell(self, noise)

    def process_latent_in(self, latent: Tensor) -> Tensor:
        self.diffusion_model.config.check_latent(latent.shape)
        if not torch.isfinite(latent).all():
            raise ValueError(
                "the latent contains NaN or infinite numbers; the node before the sampler made them "
                "(often a VAE in half precision: start ComfyUI with --fp32-vae)"
            )
        return super().process_latent_in(latent)


def memory_usage_factor(unet_config: dict) -> float:
    """Return what core multiplies with latent pixels, bytes per number and 0.01 MiB to estimate a call's memory.

    The peak of a block is, in numbers per token, either the feed-forward's (the block's input, the residual, what is
    normed, two hidden layers) or that of turning queries or keys in float32. Tested against counted allocations.
    """
    dim, ffn = unet_config["dim"], unet_config["ffn_dim"]
    kv = dim // unet_config["n_heads"] * unet_config["n_kv_heads"]
    numbers = max(3 * dim + 2 * ffn, 7 * dim, 3 * dim + 6 * kv)
    return numbers / unet_config["patch_size"] ** 2 / (0.01 * 1024**2)


class OwnConfig(comfy.supported_models_base.BASE):
    """How ComfyUI builds, saves and sizes the models of a family; each has a subclass with these two and `unet_config`.

    `unet_config` holds the family's `image_model`, by which core finds the class.
    """

    family: Family
    model: type[OwnModel]

    unet_extra_config: dict = {}  # the base class's own would end up in the network's constructor
    sampling_settings = {"multiplier": 1.0, "shift": 1.0}
    supported_inference_dtypes = [torch.bfloat16, torch.float32]
    vae_key_prefix = ["vae."]
    text_encoder_key_prefix = ["text_encoders."]

    def __init__(self, unet_config: dict):
        self.latent_format = partial(self.format_of, unet_config)  # the base class calls it
        super().__init__(unet_config)
        self.memory_usage_factor = memory_usage_factor(unet_config)

    def format_of(self, unet_config: dict) -> comfy.latent_formats.LatentFormat:
        """Return the latent format of a model that detection described so."""
        if unet_config["in_channels"] != 3:
            return LATENT_FORMATS[unet_config["in_channels"]]()
        tokens, patch_size = unet_config.get(METADATA_KEY), unet_config["patch_size"]
        return Pixels(tokens and tokens * patch_size, patch_size)

    def architecture(self, unet_config: dict | None = None) -> Any:
        """Return the network's config, as detection described it."""
        told = self.unet_config if unet_config is None else unet_config
        return self.family.config(**{field.name: told[field.name] for field in fields(self.family.config)})

    def inpaint_model(self) -> bool:
        return False  # the base class takes any model with more than four channels for one

    def get_model(self, state_dict, prefix="", device=None) -> OwnModel:
        return self.model(self, device=device)

    def process_unet_state_dict(self, state_dict: dict) -> dict:
        weights = recognised(state_dict).rename(state_dict)
        check_keys({key: tuple(x.shape) for key, x in weights.items()}, self.family, self.architecture())
        return weights

    def process_unet_state_dict_for_saving(self, state_dict: dict) -> dict:
        weights = {self.family.reference(key): x for key, x in state_dict.items()}
        told = self.family.about(self.architecture())
        for key in (METADATA_KEY, FRAMES_KEY):
            if self.unet_config.get(key):
                told[key] = str(self.unet_config[key])
        facts = {name: as_fact(text) for name, text in told.items()}  # core writes no metadata of ours
        return super().process_unet_state_dict_for_saving(weights | facts)

    def clip_target(self, state_dict={}):  # noqa: B006 - ComfyUI's signature
        from ..text.clip import clip_target_from_state_dict

        return clip_target_from_state_dict(state_dict, self.text_encoder_key_prefix[0])
