"""Video Next-DiT as ComfyUI's own kind of model: a latent is clips, (batch, channels, frames, height, width).

Frames that the sampler's mask keeps whole are given to the network as they are: image to video, in-between frames.
"""

from dataclasses import replace

import comfy.conds
import comfy.latent_formats
import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ....nextdit.call import Call
from ....nextdit.models.video import FAMILY, VideoNextDiT
from ..host.decoding import check_video_decoders
from ..host.time import flow_time
from ..patches.regions import prompt_conds, regional_call
from .base import OwnConfig, OwnModel, image_model
from .network import OwnNetwork
from .views import EMPTY_CHANNELS, EMPTY_RATIO

GIVEN, FRAMES = "video_given", "video_frames"


class Network(OwnNetwork, VideoNextDiT):
    """VideoNextDiT in ComfyUI. Frames that are given come as conds."""

    family = FAMILY
    takes_regions = True

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        t, given, call = flow_time(timesteps), kwargs.get(GIVEN), self.call_for(x, transformer_options, kwargs)
        call = regional_call(call, kwargs, context, attention_mask, t, self.patch_size)
        if given is not None:
            given = given > 0.5  # (B, 1, F, 1, 1)
            x = torch.where(given, kwargs[FRAMES].to(x), x)
            given = given.flatten(1)
        return -self.velocity(x, t, context, attention_mask, call, given=given)

    def call_for(self, x: Tensor, transformer_options: dict, kwargs: dict) -> Call:
        call, moved = super().call_for(x, transformer_options, kwargs), transformer_options.get("rope_options")
        if moved is None:
            return call
        places = torch.arange(x.shape[2], device=x.device) * moved.get("scale_t", 1.0) + moved.get("shift_t", 0.0)
        return replace(call, frame_positions=places)


class LuminaNextVideo(OwnModel):
    """Text to video; frames that the sampler's mask keeps are part of the clip."""

    network = Network

    def extra_conds(self, **kwargs) -> dict:
        out = super().extra_conds(**kwargs) | prompt_conds(self, kwargs, axes=3)
        check_video_decoders(kwargs["noise"].shape[2])
        mask, latent = kwargs.get("denoise_mask"), kwargs.get("latent_image")
        given = None if mask is None else kept_frames(mask)
        if given is None or latent is None or not given.any():
            return out
        if given.all():
            raise ValueError(
                "the noise mask keeps every frame of the clip, so there is nothing to draw: make the clip longer, or "
                "leave a frame out of the mask"
            )
        frames = comfy.conds.CONDNoiseShape(latent.to(kwargs["device"]))
        return out | {GIVEN: comfy.conds.CONDRegular(given.float().to(kwargs["device"])), FRAMES: frames}


def kept_frames(mask: Tensor) -> Tensor:
    """Return which frames a sampler's mask (B, C, F, h, w) keeps whole, (B, 1, F, 1, 1) bool."""
    return mask.amax((1, 3, 4), keepdim=True) <= 0


class LuminaNextVideoConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a video model."""

    family, model = FAMILY, LuminaNextVideo
    unet_config = {"image_model": image_model(FAMILY)}

    def format_of(self, unet_config: dict) -> comfy.latent_formats.LatentFormat:
        latents = super().format_of(unet_config)
        latents.latent_dimensions = 3
        latents.taesd_decoder_name = None  # previews a batch of pictures, and fails on frames
        return latents


CONFIG = LuminaNextVideoConfig


def empty_video(frames: int, width: int, height: int, batch_size: int, vae=None) -> dict:
    """Return an empty LATENT of clips: as `vae` makes them, else as core's empty latents are."""
    channels, ratio = (vae.latent_channels, vae.spacial_compression_encode()) if vae else (EMPTY_CHANNELS, EMPTY_RATIO)
    device = comfy.model_management.intermediate_device()
    samples = torch.zeros(batch_size, channels, frames, height // ratio, width // ratio, device=device)
    return {"samples": samples, "downscale_ratio_spacial": ratio}


def encoded(images: Tensor, vae, width: int, height: int) -> Tensor:
    """Return the latents (1, C, F, h, w) of an IMAGE (F, rows, columns, 3 or 4), scaled and cropped to a size."""
    pixels = comfy.utils.common_upscale(images[..., :3].movedim(-1, 1), width, height, "lanczos", "center")
    frames = vae.encode(pixels.movedim(1, -1))
    check_image_vae(frames)
    return frames.movedim(0, 1).unsqueeze(0)


def encode_video(images: Tensor, vae) -> dict:
    """Return the LATENT of one clip, each frame encoded on its own. Raises ValueError for a VAE of videos."""
    return {"samples": encoded(images, vae, images.shape[2], images.shape[1])}


def decode_video(latent: dict, vae) -> Tensor:
    """Return all frames of a LATENT's clips, one after the other, as an IMAGE. Raises ValueError if it has none."""
    samples = latent["samples"]
    if samples.ndim != 5:
        raise ValueError(
            f"expected a latent of clips, (batch, channels, frames, height, width), got {tuple(samples.shape)}: use "
            "VAE Decode for pictures"
        )
    channels = getattr(vae, "latent_channels", samples.shape[1])
    if samples.shape[1] != channels:
        raise ValueError(
            f"the latent has {samples.shape[1]} channels, but this VAE decodes {channels}: choose the VAE that belongs "
            "to the model in Load VAE (pixel_space for models in pixel space)"
        )
    images = vae.decode(samples.movedim(2, 1).flatten(0, 1))
    check_image_vae(images)
    return images


def check_image_vae(made: Tensor) -> None:
    """Raise ValueError if what a VAE made of single pictures, which has 4 dimensions, has more: it is for videos."""
    if made.ndim != 4:
        raise ValueError(
            "this VAE is made for videos, and Lumina-Next's frames are pictures: choose the VAE that belongs to the "
            "model in Load VAE (pixel_space for models in pixel space)"
        )


def image_to_video(vae, frames: int, width: int, height: int, first=None, last=None) -> dict:
    """Return the LATENT of a clip whose first and last frames are images, with a noise mask for those between.

    Several images are as many frames. Raises ValueError without an image, and if no frame is left to draw.
    """
    if first is None and last is None:
        raise ValueError(
            "there is neither a first image nor a last one: connect one to Image to Video, or use Empty Video Latent"
        )
    count = sum(len(images) for images in (first, last) if images is not None)
    if count >= frames:
        raise ValueError(
            f"the images given, {count}, leave none of {frames} frames to draw: set frames to more than that"
        )
    latent = empty_video(frames, width, height, 1, vae)
    samples = latent["samples"]
    mask = torch.ones(1, 1, *samples.shape[2:])
    for images, at_end in ((first, False), (last, True)):
        if images is not None:
            begin = frames - len(images) if at_end else 0
            places = slice(begin, begin + len(images))
            samples[:, :, places] = encoded(images, vae, width, height).to(samples)
            mask[:, :, places] = 0
    return latent | {"noise_mask": mask}
