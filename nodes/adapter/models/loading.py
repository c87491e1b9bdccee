"""From a file or folder to ComfyUI's MODEL."""

from pathlib import Path

import comfy.sd
import torch

from ....nextdit.families import explain, recognise, relative
from ....nextdit.files import StateDict, network_file, published_file, read_header
from ....nextdit.quantised import markers
from ..host.decoding import fitting
from ..host.listing import file_names, find_file, folders, not_found, roots
from ..host.reading import read
from .demo import demo_first
from .train_size import native_size_of, token_pixels

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
    """List what the loader can open: files under diffusion_models, downloaded repositories there or under diffusers.

    The demo is first.
    """
    return demo_first(list(dict.fromkeys([*file_names("diffusion_models"), *_repositories()])))


def find(name: str) -> Path:
    """Return the path of a listed model. Raises FileNotFoundError if it is not, or no longer, one."""
    if name in file_names("diffusion_models"):
        return find_file("diffusion_models", name)
    found = _repositories().get(name)
    if found is None:
        raise FileNotFoundError(not_found(name, list(FOLDERS), " or ".join(FOLDERS)))
    return found


# Where in ComfyUI to load what is easily taken for our models (nextdit.families.RELATIVES).
ELSEWHERE = {
    "Lumina-Image-2.0 or Z-Image, which ComfyUI itself loads": "use Load Diffusion Model",
    "a language model": "use Load LLM Text Encoder",
    "a VAE": "use Load VAE",
    "a LoRA": "use Load Lumina-Next LoRA, behind this node",
    "a text encoder of other models": "use Load CLIP",
    "a whole checkpoint of another model": "use Load Checkpoint",
    "a model of another kind": "use Load Diffusion Model",
}


def load(path: str | Path, weight_dtype: str = "default", disable_dynamic: bool = False):
    """Load a model of ours as a ModelPatcher; FileNotFoundError or ValueError name the file."""
    file = network_file(path)
    header = read_header(file)
    if recognise(header) is None:
        where = ELSEWHERE.get(relative(header) or "")
        raise ValueError(f"{file} is {explain(header)}{f': {where}' if where else ''}")
    patcher = from_weights(*read(file), file, weight_dtype, disable_dynamic)
    # how ComfyUI makes this model anew, for torch.compile, LoRA hooks and further GPUs
    patcher.cached_patcher_init = (load, (str(path), weight_dtype))
    return patcher


def from_weights(
    weights: StateDict,
    metadata: list[dict[str, str]],
    file: Path,
    weight_dtype: str = "default",
    disable_dynamic: bool = False,
):
    """Return a ModelPatcher of a model's weights, of any layout; ValueError names the file that they are from."""
    try:
        for part in metadata:
            weights |= markers(weights, part, recognise(weights).prefix)
        found = recognise(weights)  # not every release's loader hands metadata to detection
        weights |= found.as_facts(found.metadata(weights, metadata[0]))
        options, arguments = dict(WEIGHT_DTYPES[weight_dtype]), {}
        if disable_dynamic:  # releases before dynamic VRAM do not know the argument
            arguments["disable_dynamic"] = True
        return comfy.sd.load_diffusion_model_state_dict(weights, options, **arguments)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def describe(patcher) -> str:
    """Say in a line what a MODEL of ours makes, at which size it was trained, and which VAE it takes."""
    network = patcher.get_model_object("diffusion_model")
    latents = type(patcher.get_model_object("latent_format")).__name__
    try:
        native = native_size_of(patcher, network)
        side = native.tokens * token_pixels(patcher, network)
        size = f", trained at {side} × {side}"
    except ValueError:  # its file does not say
        size = ""
    if network.train_frames:
        size += f", {network.train_frames} frames"
    return f"{network.family.describe(network.config)}{size}; VAE: {fitting(network.in_channels, latents)}"


def _repositories() -> dict[str, Path]:
    return folders(roots(*FOLDERS), _is_wanted)


def _is_wanted(folder: Path) -> bool | None:
    if _has_network(folder):
        return True
    return False if any((folder / part).exists() for part in OTHER_REPOSITORIES) else None


def _has_network(folder: Path) -> bool:
    try:
        return published_file(folder) is not None
    except OSError:  # a folder that may not be read
        return False
