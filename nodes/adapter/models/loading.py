"""From a file or folder to ComfyUI's MODEL."""

import inspect
from pathlib import Path

import comfy.sd
import torch

from ....nextdit.files import PICKLES, network_file, read_header, read_metadata
from ....nextdit.keys import UnknownCheckpoint, explain_unknown, prefix_of
from ....nextdit.quantised import markers
from ....nextdit.train_size import train_tokens
from ..host.listing import file_names, find_file, folders, not_found, roots
from ..host.reading import read
from .multiview import MultiViewNetwork

WEIGHT_DTYPES: dict[str, dict] = {
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}
FOLDERS = ("diffusion_models", "diffusers")
# What other models' repositories have, whose VAEs and the like are in files called as a transformer's.
OTHER_REPOSITORIES = ("model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler", "transformer")


def model_names() -> list[str]:
    """List what the loader can open: files under diffusion_models, downloaded repositories there or under diffusers."""
    return list(dict.fromkeys([*file_names("diffusion_models"), *_repositories()]))


def find(name: str) -> Path:
    """Return the path of a listed model. Raises FileNotFoundError if it is not, or no longer, one."""
    if name in file_names("diffusion_models"):
        return find_file("diffusion_models", name)
    found = _repositories().get(name)
    if found is None:
        raise FileNotFoundError(not_found(name, list(FOLDERS), " or ".join(FOLDERS)))
    return found


def load(path: str | Path, weight_dtype: str = "default", disable_dynamic: bool = False):
    """Load a Next-DiT as a ModelPatcher, by core's loader where that can read the file.

    Raises FileNotFoundError, UnknownCheckpoint or ValueError, naming the file.
    """
    file = network_file(path)
    header = read_header(file)
    if prefix_of(header) is None:
        raise UnknownCheckpoint(f"{file}: {explain_unknown(header)}")
    options = dict(WEIGHT_DTYPES[weight_dtype])
    try:
        if file.suffix not in PICKLES and not file.name.endswith(".index.json"):
            patcher = comfy.sd.load_diffusion_model(str(file), model_options=options, **_dynamic(disable_dynamic))
        else:
            patcher = _load_parts(file, options, disable_dynamic)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    # not every release's loader hands metadata to detection, and folders come without
    network = patcher.model.diffusion_model
    metadata = read_metadata(file)
    network.train_tokens = network.train_tokens or train_tokens(metadata)
    if isinstance(network, MultiViewNetwork):
        network.read_axes(patcher.model.model_config.unet_config, metadata)
    # how ComfyUI makes this model anew, for torch.compile, LoRA hooks and further GPUs
    patcher.cached_patcher_init = (load, (str(path), weight_dtype))
    return patcher


def _load_parts(file: Path, options: dict, disable_dynamic: bool):
    weights, metadata = read(file)
    for found in metadata:
        weights |= markers(weights, found, prefix_of(weights) or "")
    arguments = _dynamic(disable_dynamic)
    if "metadata" in inspect.signature(comfy.sd.load_diffusion_model_state_dict).parameters:
        arguments["metadata"] = metadata[0]
    return comfy.sd.load_diffusion_model_state_dict(weights, options, **arguments)


def _dynamic(disable: bool) -> dict:
    return {"disable_dynamic": True} if disable else {}  # releases before dynamic VRAM do not know the argument


def _repositories() -> dict[str, Path]:
    return folders(roots(*FOLDERS), _is_wanted)


def _is_wanted(folder: Path) -> bool | None:
    if _has_network(folder):
        return True
    return False if any((folder / part).exists() for part in OTHER_REPOSITORIES) else None


def _has_network(folder: Path) -> bool:
    try:
        network_file(folder)
    except OSError:  # none, or a folder that may not be read
        return False
    return True
