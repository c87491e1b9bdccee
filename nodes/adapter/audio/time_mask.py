"""A stretch of time of a latent of sound, as a noise mask: what is in it is made anew, the rest stays."""

import math
from numbers import Real

import torch


def check_times(start: float, end: float) -> None:
    """Raise ValueError for times that are none: a value from another node is not held to the input's range."""
    for name, time in (("start", start), ("end", end)):
        if not (math.isfinite(time) and time >= 0):
            raise ValueError(f"{name} must be a time in seconds, 0 or more, got {time:g}")


def frame_rate(vae) -> float:
    """Return the latents a second of a VAE of sound. Raises ValueError for any other."""
    ratio = getattr(vae, "downscale_ratio", None)
    if getattr(vae, "latent_dim", None) != 1 or not isinstance(ratio, Real) or ratio <= 0:
        raise ValueError("this VAE is not one of sound: connect that of Load Lumina Audio Model")
    return getattr(vae, "audio_sample_rate", 44100) / ratio


def mask_time(latent: dict, vae, start: float, end: float) -> tuple[dict, str]:
    """Return a LATENT of sound whose noise mask lets only start to `end` seconds change, and what to tell.

    An `end` of 0 is that of the sound. A mask that is there already is added to. Raises ValueError for a stretch that
    has nothing in it, and for latents that are no sound.
    """
    samples = latent["samples"]
    if samples.ndim != 3:
        raise ValueError(
            f"expected a latent of sound, (batch, channels, frames), got {tuple(samples.shape)}: use VAE Encode Audio, "
            "or Set Latent Noise Mask for pictures"
        )
    check_times(start, end)
    rate, frames = frame_rate(vae), samples.shape[-1]
    if samples.shape[1] != (channels := getattr(vae, "latent_channels", samples.shape[1])):
        raise ValueError(
            f"the latent has {samples.shape[1]} channels, but this VAE's have {channels}: connect the VAE that made it"
        )
    length = frames / rate
    begin, stop = round(start * rate), min(frames, round(end * rate) if end else frames)
    if not frames:
        raise ValueError("the latent is empty: it has no frames")
    if begin >= frames:
        raise ValueError(f"start is {start:g} s, but the sound is {length:.2f} s long: set it to less")
    if end and end <= start:
        raise ValueError(
            f"end is {end:g} s, not after start, {start:g} s: set it to more, or to 0 for all that follows"
        )
    stop = max(stop, begin + 1)
    mask = torch.zeros(1, 1, frames)
    mask[..., begin:stop] = 1.0
    if (before := latent.get("noise_mask")) is not None:
        mask = torch.maximum(mask, along_time(before.to(mask), frames))
    return latent | {"noise_mask": mask}, f"{begin / rate:.2f} to {stop / rate:.2f} s of {length:.2f} s are made anew"


def along_time(mask: torch.Tensor, frames: int) -> torch.Tensor:
    """Return a noise mask as (batch, 1, frames). Raises ValueError for one of another length, or of a picture."""
    if mask.numel() != mask.shape[0] * frames:
        raise ValueError(
            f"the latent has a noise mask of {tuple(mask.shape)}, but {frames} frames: a mask of a picture, or the "
            "sound was cut behind it; set the mask after that"
        )
    return mask.reshape(mask.shape[0], 1, frames)
