"""The networks that benchmarks measure: the pack's own, and core's that benchmarks.joint trained."""

from pathlib import Path
from typing import Any

import torch

from ...nextdit import load_model
from ...nextdit.files import read_metadata
from ...nextdit.train_size import METADATA_KEY
from ..joint.config import read_config
from .comfyui import import_comfyui
from .sections import BASE


def trained_pixels(file: Path, patch_size: int) -> int:
    """Return the side in pixels of the pictures that a checkpoint was trained on: what its file says, else BASE."""
    said = read_metadata(file).get(METADATA_KEY)
    return BASE if said is None else int(said) * patch_size


def open_network(file: Path, comfyui: Path, dtype: torch.dtype, device: Any = "cpu") -> Any:
    """Return the network of a file, in evaluation mode; one of core's, by what the file says, as its MODEL runs it.

    Raises FileNotFoundError if that takes a ComfyUI and there is none in the folder `comfyui`.
    """
    if file.is_file() and read_config(file) is not None:
        import_comfyui(comfyui, device)
        from ..joint.model import JointModel

        return JointModel(file, dtype, device)
    return load_model(file, dtype=dtype, device=device)
