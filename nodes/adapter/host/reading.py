"""Weights off the disk: by ComfyUI where it can, whose tensors dynamic VRAM reads straight from the file."""

from pathlib import Path

import comfy.utils

from ....nextdit.files import StateDict, is_pickle, read_header, read_metadata, read_weights, shards
from ....nextdit.ranks import ranked


def read(file: Path) -> tuple[StateDict, list[dict[str, str]]]:
    """Read the tensors of a file, of all its ranks, or of all shards that an index names, and the metadata of each.

    Pickles and ranks are read by nextdit, which runs nothing that is in them. Raises FileNotFoundError or ValueError.
    """
    parts = shards(file)
    if ranked(parts) or any(is_pickle(part) for part in parts):
        return read_weights(file), [read_metadata(file)]
    read_header(file)  # names a damaged file
    weights: StateDict = {}
    metadata = []
    for part in parts:
        tensors, found = comfy.utils.load_torch_file(str(part), safe_load=True, return_metadata=True)
        weights |= tensors
        metadata.append(found or {})
    return weights, metadata
