"""A few sampled steps of audio models in ComfyUI, in this process, and the folder that their loader looks into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.sample
import folder_paths
import torch

PROMPT = "Birds chirping followed by thunder"
STEPS = 4


@contextmanager
def only_checkpoints(root: Path) -> Iterator[None]:
    """Make a folder the only one of models/checkpoints."""
    kept = folder_paths.folder_names_and_paths["checkpoints"]
    folder_paths.folder_names_and_paths["checkpoints"] = ([str(root)], kept[1])
    folder_paths.filename_list_cache.clear()
    yield
    folder_paths.folder_names_and_paths["checkpoints"] = kept
    folder_paths.filename_list_cache.clear()


def encode(clip, text: str) -> list:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def sample(model, clip, latent: dict, noise: torch.Tensor | None = None, cfg: float = 3.0, **more) -> torch.Tensor:
    samples = latent["samples"]
    samples = comfy.sample.fix_empty_latent_channels(
        model, samples, latent.get("downscale_ratio_spacial"), latent.get("downscale_ratio_temporal")
    )
    noise = comfy.sample.prepare_noise(samples, 5) if noise is None else noise
    positive, negative = encode(clip, PROMPT), encode(clip, "")
    return comfy.sample.sample(
        model, noise, STEPS, cfg, "euler", "simple", positive, negative, samples, seed=5, disable_pbar=True, **more
    )
