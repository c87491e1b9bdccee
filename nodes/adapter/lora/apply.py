"""A LoRA file of any naming → ComfyUI's own LoRA patches on a MODEL."""

import logging

import comfy.sd
import torch

from ....nextdit.lora.convert import Converted, convert
from ....nextdit.lora.files import read_lora
from ....nextdit.lora.joint_names import is_joint
from ....nextdit.lora.names import STOCK
from ....nextdit.lora.parts import UnreadFormat, WrongLora
from ..host.listing import file_names, find_file
from ..models.base import OwnModel

FOLDER = "loras"


def lora_names() -> list[str]:
    """List the files in models/loras."""
    return file_names(FOLDER)


def find(name: str) -> str:
    """Return the path of a listed LoRA. Raises FileNotFoundError if it has gone since it was listed."""
    return str(find_file(FOLDER, name))


def load(model, file: str, keep_unmatched: bool = False) -> Converted:
    """Read a LoRA for a MODEL. Keys that match nothing are an error, or a remark in the log with `keep_unmatched`.

    Raises ValueError, naming the file, if it is damaged, unread or not of this MODEL, and for a MODEL of another kind.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in model.model.diffusion_model.state_dict().items()}
    if not isinstance(model.model, OwnModel) and not is_joint(shapes):
        raise ValueError(
            "Load Lumina-Next LoRA works with models of Lumina-Next, Lumina-Image-2.0 and Z-Image, but got a "
            f"{type(model.model).__name__} model; use ComfyUI's own Load LoRA with it"
        )
    try:
        weights, config = read_lora(file)
        lora = convert(weights, shapes, config, base=lambda module: own_weight(model, module))
    except UnreadFormat as error:
        raise ValueError(
            f"{file}: {error}; neither this node nor ComfyUI's own Load LoRA reads this format: merge it into the "
            "model, or save it as a plain LoRA, with the program that made it"
        ) from error
    except WrongLora as error:
        raise ValueError(f"{file}: {error}") from error
    if lora.unmatched and not keep_unmatched:
        stock = f"; ComfyUI's own Load LoRA does not read {lora.unread} either" if lora.unread else ""
        raise ValueError(f"{file}: {lora.report()}\nSet unmatched to skip to load the rest of it{stock}.")
    if lora.unmatched:
        logging.warning("%s: %s", file, lora.report())
    return lora


def own_weight(model, module: str) -> torch.Tensor:
    """Return the weight of a MODEL's module as it was before any patch, not quantised."""
    key = f"{STOCK}{module}.weight"
    (weight, convert_weight), *_ = model.get_key_patches(key)[key]
    return convert_weight(weight)


def apply(model, lora: Converted, strength: float):
    """Return a clone of a MODEL with a LoRA on it, as the stock loader makes it."""
    if strength == 0.0:
        return model
    return comfy.sd.load_lora_for_models(model, None, lora.weights, strength, 0.0)[0]
