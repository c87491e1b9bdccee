"""Next-DiT as ComfyUI's own kind of model: network, BaseModel and supported-model config."""

from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.supported_models_base
import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor

from ....nextdit.call import Call
from ....nextdit.checkpoint import check_keys
from ....nextdit.config import NextDiTConfig
from ....nextdit.keys import to_model_keys, to_reference_keys
from ....nextdit.models.image import NextDiT
from ..host.attention import core_attend
from ..host.time import flow_time
from ..patches.regions import KEY, MASKS, regional_call, regional_conds
from .conditioning import text_conds
from .quantised import refuse_left_over

IMAGE_MODEL = "lumina_next"  # what detection calls this family in ComfyUI's unet_config

LATENT_FORMATS = {
    4: comfy.latent_formats.SDXL,
    16: comfy.latent_formats.Flux,
    3: comfy.latent_formats.ChromaRadiance,  # pixels as they are
}


class OwnNetwork:
    """The call that ComfyUI makes, mixed into a network of nextdit: `_forward` gets its sigma, and gives −velocity.

    `train_tokens` is the tokens per side that the checkpoint says it was trained with, None if it does not say.
    The pack's patch nodes add `rope`, `drop` and `dropped_layers` to the call: as arguments, since core's compile node
    does not notice when transformer_options change.
    """

    def describe(self, dtype: torch.dtype | None, train_tokens: int | None) -> None:
        """Set what core and the pack's nodes look for on a network."""
        self.dtype = dtype
        self.train_tokens = train_tokens
        self.patch_size = self.config.patch_size
        self.in_channels = self.config.in_channels

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Load as torch does; what stands beside quantised weights and no layer reads is an error, strict or not."""
        found = super().load_state_dict(state_dict, strict=strict, assign=assign)
        refuse_left_over(found.unexpected_keys)
        return found

    def forward(self, x, timesteps, context, attention_mask=None, control=None, transformer_options={}, **kwargs):  # noqa: B006 - ComfyUI's signature
        return WrapperExecutor.new_class_executor(
            self._forward, self, get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        ).execute(x, timesteps, context, attention_mask, control, transformer_options, **kwargs)

    def call_for(self, x: Tensor, transformer_options: dict, kwargs: dict) -> Call:
        """Return what the pack's and other nodes' patches ask of nextdit's velocity, for latents x (…, H, W)."""
        return Call(
            rope=kwargs.get("rope"),
            drop=kwargs.get("drop"),
            dropped_layers=kwargs.get("dropped_layers", 0),
            attend=core_attend(transformer_options),
            replace=block_replacements(transformer_options),
            positions=self.shifted_positions(x, transformer_options.get("rope_options")),
        )

    def shifted_positions(self, x: Tensor, options: dict | None) -> list[Tensor] | None:
        """Return the RoPE positions that core's Scale RoPE node asks for, None if it asks for nothing."""
        if options is None:
            return None
        p = self.config.patch_size
        sizes = zip(("y", "x"), (-(-x.shape[-2] // p), -(-x.shape[-1] // p)), strict=True)
        return [
            torch.arange(n, device=x.device) * options.get(f"scale_{axis}", 1.0) + options.get(f"shift_{axis}", 0.0)
            for axis, n in sizes
        ]


class Network(OwnNetwork, NextDiT):
    """NextDiT in ComfyUI. Regional prompts come as conds: `regions` and `region_masks`."""

    def __init__(self, image_model=None, dtype=None, device=None, operations=None, train_tokens=None, **fields):
        super().__init__(NextDiTConfig(**fields), device=device, dtype=dtype, operations=operations)
        self.describe(dtype, train_tokens)

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        t, call = flow_time(timesteps), self.call_for(x, transformer_options, kwargs)
        if kwargs.get(KEY) is not None:
            call = regional_call(call, kwargs[KEY], kwargs[MASKS], context, attention_mask, t, self.patch_size)
        return -self.velocity(x, t, context, attention_mask, call)


def block_replacements(transformer_options: dict) -> dict:
    """Return nextdit's replacements for the blocks that other nodes replace (SkipLayerGuidanceDiT and its like)."""
    found = transformer_options.get("patches_replace", {}).get("dit", {})

    def wrap(patch):
        def run_patch(tokens, run):
            args = {"img": tokens, "transformer_options": transformer_options}
            return patch(args, {"original_block": lambda args: {"img": run(args["img"])}})["img"]

        return run_patch

    return {key[1]: wrap(patch) for key, patch in found.items() if key[0] == "double_block"}


class OwnModel(comfy.model_base.BaseModel):
    """The flow model around one of our networks: what enters it, checked once per run."""

    network: type[OwnNetwork]

    def __init__(self, model_config, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=self.network)

    def process_timestep(self, timestep: Tensor, **kwargs) -> Tensor:
        # ModelSamplingSD3 counts to 1000 whatever the model wants; the network wants sigma itself
        return timestep / getattr(self.model_sampling, "multiplier", 1.0)

    def text(self, conditioning: dict) -> tuple[Tensor, Tensor | None]:
        """Return a conditioning's text features and mask. Raises ValueError without any, and for a wrong width."""
        features = conditioning.get("cross_attn")
        if features is None:
            raise ValueError("Lumina-Next needs text conditioning: connect CLIP Text Encode to the sampler")
        self.check_width(features)
        return features, conditioning.get("attention_mask")

    def check_width(self, features: Tensor) -> None:
        """Raise ValueError if text features do not fit this model."""
        self.diffusion_model.config.check_text(features.shape[-1])

    def extra_conds(self, **kwargs) -> dict:
        self.diffusion_model.config.check_latent(kwargs["noise"].shape)  # an empty latent meets no other check
        return super().extra_conds(**kwargs)

    def process_latent_in(self, latent: Tensor) -> Tensor:
        self.diffusion_model.config.check_latent(latent.shape)
        if not torch.isfinite(latent).all():
            raise ValueError(
                "the latent contains NaN or infinite numbers; the node before the sampler made them "
                "(often a VAE in half precision: start ComfyUI with --fp32-vae)"
            )
        return super().process_latent_in(latent)


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


def memory_usage_factor(unet_config: dict) -> float:
    """Return what core multiplies with latent pixels, bytes per number and 0.01 MiB to estimate a call's memory.

    The peak of a block is, in numbers per token, either the feed-forward's (the block's input, the residual, what is
    normed, two hidden layers) or that of turning queries or keys in float32. Tested against counted allocations.
    """
    dim, ffn = unet_config["dim"], unet_config["ffn_dim"]
    kv = dim // unet_config["n_heads"] * unet_config["n_kv_heads"]
    numbers = max(3 * dim + 2 * ffn, 7 * dim, 3 * dim + 6 * kv)
    return numbers / unet_config["patch_size"] ** 2 / (0.01 * 1024**2)


class LuminaNextConfig(comfy.supported_models_base.BASE):
    """How ComfyUI builds, saves and sizes a Lumina-Next model."""

    unet_config = {"image_model": IMAGE_MODEL}
    unet_extra_config: dict = {}  # the base class's own would end up in the network's constructor
    sampling_settings = {"multiplier": 1.0, "shift": 1.0}
    supported_inference_dtypes = [torch.bfloat16, torch.float32]
    vae_key_prefix = ["vae."]
    text_encoder_key_prefix = ["text_encoders."]

    def __init__(self, unet_config: dict):
        self.latent_format = LATENT_FORMATS[unet_config["in_channels"]]
        super().__init__(unet_config)
        self.memory_usage_factor = memory_usage_factor(unet_config)

    def inpaint_model(self) -> bool:
        return False  # the base class takes any model with more than four channels for one

    def get_model(self, state_dict, prefix="", device=None) -> LuminaNext:
        return LuminaNext(self, device=device)

    def process_unet_state_dict(self, state_dict: dict) -> dict:
        weights = to_model_keys(state_dict)
        fields = NextDiTConfig.__dataclass_fields__
        architecture: dict[str, Any] = {key: self.unet_config[key] for key in fields}
        config = NextDiTConfig(**architecture)
        check_keys({key: tuple(tensor.shape) for key, tensor in weights.items()}, config)
        return weights

    def process_unet_state_dict_for_saving(self, state_dict: dict) -> dict:
        return super().process_unet_state_dict_for_saving(to_reference_keys(state_dict))

    def clip_target(self, state_dict={}):  # noqa: B006 - ComfyUI's signature
        from ..text.clip import clip_target_from_state_dict

        return clip_target_from_state_dict(state_dict, self.text_encoder_key_prefix[0])
