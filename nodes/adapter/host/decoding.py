"""What will decode the latent of the node that is running: read off the prompt, before a VAE that does not fit fails.

The decoder is a stock node, which hands any latent to any VAE; ours is the only word that can come before torch's.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import folder_paths

from ....nextdit.files import read_header

DECODERS = ("VAEDecode", "VAEDecodeTiled")
KEEP_CHANNELS = {  # stock nodes that hand a latent on → its name there
    "LatentUpscale": "samples",
    "LatentUpscaleBy": "samples",
    "LatentFromBatch": "samples",
    "LatentRotate": "samples",
    "LatentFlip": "samples",
    "LatentCrop": "samples",
    "RepeatLatentBatch": "samples",
    "KSampler": "latent_image",
    "KSamplerAdvanced": "latent_image",
    "SamplerCustom": "latent_image",
    "SamplerCustomAdvanced": "latent_image",
}
PIXELS = "pixel_space"
BY_NAME = {PIXELS: 3, "taesd": 4, "taesdxl": 4, "taesd3": 16, "taef1": 16}  # what Load VAE lists besides files
KEY = "decoder.conv_in.weight"  # (width, latent channels, 3, 3) in every VAE of the autoencoder-KL kind


def running_prompt() -> tuple[dict, str | None]:
    """Return the API prompt that is running and the id of its running node; ({}, None) outside of a run."""
    try:
        from comfy_execution.utils import get_executing_context
        from server import PromptServer
    except ImportError:
        return {}, None
    context = get_executing_context()
    queue = getattr(getattr(PromptServer, "instance", None), "prompt_queue", None)
    if context is None or queue is None:
        return {}, None
    running, _ = queue.get_current_queue_volatile()
    return next((item[2] for item in running if item[1] == context.prompt_id), {}), context.node_id


def vaes_after(prompt: dict, node: str | None) -> Iterator[str]:
    """Yield the files that Load VAE gives to the decoders of a node's latent, as far as stock nodes show them."""
    for entry in prompt.values():
        if entry["class_type"] in DECODERS and _comes_from(prompt, entry["inputs"].get("samples"), node):
            vae = _linked(prompt, entry["inputs"].get("vae"))
            if vae.get("class_type") == "VAELoader" and isinstance(vae["inputs"].get("vae_name"), str):
                yield vae["inputs"]["vae_name"]


def channels_of(vae_name: str) -> int | None:
    """Return how many channels the latents of a listed VAE have, None where that is not easily told."""
    if vae_name in BY_NAME:
        return BY_NAME[vae_name]
    path = folder_paths.get_full_path("vae", vae_name)
    if path is None or Path(path).suffix != ".safetensors":
        return None
    return _channels(path, Path(path).stat().st_mtime_ns)


def check_decoders(channels: int, latents: str = "") -> None:
    """Raise ValueError if the running node's latent, of so many channels, goes to a VAE that is made for others.

    `latents` is the name of core's latent format.
    """
    for name in vaes_after(*running_prompt()):
        other = channels_of(name)
        if other not in (None, channels):
            raise ValueError(
                f"VAE Decode has the VAE {name}, for latents of {other} channels, but this model's have {channels}: "
                f"choose {fitting(channels, latents)} in Load VAE"
            )


def check_video_decoders(frames: int) -> None:
    """Raise ValueError if the running node's latent of clips goes to a stock node that decodes the first frame only."""
    if frames > 1 and any(True for _ in vaes_after(*running_prompt())):
        raise ValueError(
            f"VAE Decode would show only the first of the {frames} frames, since the VAE is made for pictures: put "
            "Decode Video Frames in its place"
        )


def fitting(channels: int, latents: str = "") -> str:
    """Return how to call a VAE for latents of so many channels, in core's format of the name `latents`."""
    if latents == "SD15":
        return "one of Stable Diffusion 1 (vae-ft-ema-560000-ema-pruned.safetensors)"
    known = {3: PIXELS, 4: "an SDXL VAE (sdxl_vae.safetensors)", 16: "a FLUX VAE (ae.safetensors)"}
    return known.get(channels, "the VAE that the model was trained with")


def _linked(prompt: dict, link) -> dict:
    return prompt.get(link[0], {}) if isinstance(link, list) and len(link) == 2 else {}


def _comes_from(prompt: dict, link, node: str | None) -> bool:
    for _ in range(len(prompt)):
        if not isinstance(link, list) or len(link) != 2 or link[0] == node:
            break
        entry = prompt.get(link[0], {})
        link = entry.get("inputs", {}).get(KEEP_CHANNELS.get(entry.get("class_type", ""), ""))
    return isinstance(link, list) and link[:1] == [node]


@lru_cache(maxsize=64)
def _channels(path: str, changed: int) -> int | None:
    del changed  # only there so that a replaced file is read again
    try:
        _, shape = read_header(Path(path)).get(KEY, ("", ()))
    except (OSError, ValueError):
        return None
    return shape[1] if len(shape) == 4 else None
