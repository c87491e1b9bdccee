"""Reading a LoRA from disk: the tensors, and what PEFT and diffusers say beside them."""

import os
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..files import PICKLES, read_metadata, read_weights
from ..text_files import parse_json, read_json
from .config import AdapterConfig, adapter_config

PEFT_CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model"
DIFFUSERS_METADATA = "lora_adapter_metadata"
DIFFUSERS_PREFIX = "transformer."
WEIGHTS = (".safetensors", ".sft", *PICKLES)


def read_lora(file: str | Path) -> tuple[dict[str, Tensor], AdapterConfig | None]:
    """Return the tensors of a LoRA file, and what its metadata or PEFT's config beside it says of their scales.

    None stands for no such word. Raises UnreadFormat for PEFT's other adapters, ValueError if the file or the config
    is damaged.
    """
    file = Path(file)
    weights = read_weights(file)
    for place in _links(file):
        config = place.parent / PEFT_CONFIG
        if os.path.lexists(config) and _belongs(place):
            return weights, adapter_config(read_json(config, "PEFT's config of the adapter"), str(config))
    text = read_metadata(file).get(DIFFUSERS_METADATA)
    if text is None:
        return weights, None
    source = f"{file} (metadata {DIFFUSERS_METADATA})"
    said = parse_json(text, source, "diffusers' config of the LoRA")
    bare = {key: value for key, value in said.items() if "." not in key}
    ours = {key.removeprefix(DIFFUSERS_PREFIX): x for key, x in said.items() if key.startswith(DIFFUSERS_PREFIX)}
    return weights, adapter_config(bare | ours, source)


def _links(file: Path) -> Iterator[Path]:
    """Yield a file and, if it is a link, what it leads to link by link: PEFT's config may lie beside any of them."""
    for _ in range(40):
        yield file
        if not file.is_symlink():
            return
        file = file.parent / file.readlink()


def _belongs(file: Path) -> bool:
    """Tell whether PEFT's config beside a file is this file's: it has PEFT's name, or is the folder's only weights."""
    if file.name.startswith(PEFT_WEIGHTS):
        return True
    return [other for other in file.parent.iterdir() if other.suffix.lower() in WEIGHTS] == [file]
