"""A LoRA file of any naming → ComfyUI's own LoRA patches on a MODEL."""

import logging

import comfy.sd
import folder_paths

from ..models.image import OwnModel
from .convert import Converted, WrongLora, convert
from .files import read_lora

PREFIX = "diffusion_model."
FOLDER = "loras"


def lora_names() -> list[str]:
    """List the files in models/loras."""
    return folder_paths.get_filename_list(FOLDER)


def find(name: str) -> str:
    """Return the path of a listed LoRA. Raises FileNotFoundError if it has gone since it was listed."""
    file = folder_paths.get_full_path(FOLDER, name)
    if file is None:
        raise FileNotFoundError(f"{name} is no longer in models/{FOLDER}; press R in the editor to read the list again")
    return file


def load(model, file: str, keep_unmatched: bool = False) -> Converted:
    """Read a LoRA for a MODEL. Keys that match nothing are an error, or a remark in the log with `keep_unmatched`.

    Raises WrongLora, naming the file, and ValueError if the MODEL is no Lumina-Next.
    """
    if not isinstance(model.model, OwnModel):
        raise ValueError(
            f"Load Lumina-Next LoRA works with Lumina-Next models, but got a {type(model.model).__name__} model. "
            "Use ComfyUI's own Load LoRA with it."
        )
    network = model.model.diffusion_model
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    weights, alpha = read_lora(file)
    try:
        lora = convert(weights, shapes, alpha)
    except WrongLora as error:
        raise WrongLora(f"{file}: {error}") from error
    if lora.unmatched and not keep_unmatched:
        raise WrongLora(f"{file}: {lora.report()}\nSet unmatched to skip to load the rest of it.")
    if lora.unmatched:
        logging.warning("%s: %s", file, lora.report())
    return lora


def apply(model, lora: Converted, strength: float):
    """Return a clone of a MODEL with a LoRA on it, as the stock loader makes it."""
    if strength == 0.0:
        return model
    return comfy.sd.load_lora_for_models(model, None, lora.weights, strength, 0.0)[0]
