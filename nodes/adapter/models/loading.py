"""From a file or folder to ComfyUI's MODEL."""

from pathlib import Path

import comfy.sd
import folder_paths
import torch

from ....nextdit.files import PICKLES, network_file, read_header, read_metadata, read_weights
from ....nextdit.keys import UnknownCheckpoint, explain_unknown, prefix_of
from .multiview import MultiViewNetwork
from .train_size import train_tokens

WEIGHT_DTYPES: dict[str, dict] = {
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}
FOLDERS = ("diffusion_models", "diffusers")


def model_names() -> list[str]:
    """List what the loader can open: files under diffusion_models, downloaded repositories there or under diffusers."""
    names = list(folder_paths.get_filename_list("diffusion_models"))
    for root in roots():
        names += [folder.name for folder in sorted(root.iterdir()) if folder.is_dir() and _has_network(folder)]
    return list(dict.fromkeys(names))


def roots() -> list[Path]:
    """Return the folders on disk that models are looked for in."""
    paths = [Path(path) for kind in FOLDERS for path in folder_paths.get_folder_paths(kind)]
    return [path for path in paths if path.is_dir()]


def find(name: str) -> Path:
    """Return the path of a listed model. Raises FileNotFoundError if it has gone since it was listed."""
    file = folder_paths.get_full_path("diffusion_models", name)
    if file is not None:
        return Path(file)
    for root in roots():
        folder = root / name
        if folder.is_dir() and folder.resolve().parent == root.resolve():
            return folder
    raise FileNotFoundError(
        f"{name} is no longer in {' or '.join(FOLDERS)}; press R in the editor to read the list again"
    )


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
            weights = read_weights(file)
            patcher = comfy.sd.load_diffusion_model_state_dict(weights, options, **_dynamic(disable_dynamic))
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


def _dynamic(disable: bool) -> dict:
    return {"disable_dynamic": True} if disable else {}  # releases before dynamic VRAM do not know the argument


def _has_network(folder: Path) -> bool:
    try:
        network_file(folder)
    except FileNotFoundError:
        return False
    return True
