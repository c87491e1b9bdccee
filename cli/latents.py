"""Finished latents that could not be decoded: kept in ComfyUI's format."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from torch import Tensor

    from ..pipelines import UndecodedError


def keep_latents(error: "UndecodedError", picture: Path) -> str:
    """Write the latents beside where the picture was to go, and return what to tell the user."""
    file = picture.with_suffix(".latent")
    write_latent(file, error.latents)
    return (
        f"{error}. The sampled latent is kept in {file}: put it into ComfyUI's input folder and open it with "
        "Load Latent and VAE Decode (Tiled), or make the picture again with --device cpu"
    )


def write_latent(file: Path, latents: "Tensor") -> None:
    """Write latents (B, C, h, w) in VAE space as ComfyUI's Save Latent does; the file appears only when whole."""
    import torch
    from safetensors.torch import save_file

    from ..nextdit.whole_file import whole_file

    content = {
        "latent_tensor": latents.detach().float().cpu().contiguous(),
        "latent_format_version_0": torch.tensor([]),
    }
    with whole_file(file) as unfinished:
        save_file(content, unfinished)
