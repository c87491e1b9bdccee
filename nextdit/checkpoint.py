"""Checkpoints in and out: any layout to a Next-DiT, strictly, and back to the reference layout."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file

from .config import NextDiTConfig
from .files import FLOATS_OF_8_BITS, float_dtype, network_file, read_metadata, read_weights, shards
from .keys import UnknownCheckpoint, infer_config, is_multiview, prefix_of, to_model_keys, to_reference_keys
from .models.image import NextDiT
from .models.multiview import MultiViewNextDiT
from .quantised import dequantise, extra_keys, markers, quantised_modules


def load_model(path: str | Path, *, dtype: torch.dtype | None = None, device="cpu") -> NextDiT | MultiViewNextDiT:
    """Load a text-to-image or multi-view Next-DiT from a file or folder of any layout, in evaluation mode.

    Reference or diffusers keys, safetensors or a pickle of tensors, one file or shards; fp8 weights become bfloat16
    unless `dtype` says otherwise, quantised ones are read as `dequantise` says. Raises FileNotFoundError,
    UnknownCheckpoint or ValueError, naming file and keys.
    """
    file = network_file(path)
    weights, metadata = read_weights(file), read_metadata(file)
    try:
        for part in shards(file):
            weights |= markers(weights, read_metadata(part), prefix_of(weights) or "")
        weights = to_model_keys(weights)
        extras = extra_keys(weights)
        dtype = dtype or float_dtype({key: x for key, x in weights.items() if key not in extras})
        dtype = torch.bfloat16 if dtype in FLOATS_OF_8_BITS else dtype
        weights = dequantise(weights, dtype)
        config = infer_config({key: tuple(x.shape) for key, x in weights.items()})
        check_keys({key: tuple(x.shape) for key, x in weights.items()}, config)
        model = build(config, weights, metadata)
    except UnknownCheckpoint as error:
        raise UnknownCheckpoint(f"{file}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    model.load_state_dict(weights, assign=True)
    return model.to(device).eval()


def build(
    config: NextDiTConfig, keys: Iterable[str], metadata: Mapping[str, str] | None = None
) -> NextDiT | MultiViewNextDiT:
    """Return the network without weights (device "meta") whose keys, named as our modules, these are.

    `metadata` is the safetensors file's. Raises ValueError as `rope_axes` does.
    """
    if is_multiview(keys):
        return MultiViewNextDiT(config, rope_axes=rope_axes(metadata or {}), device="meta")
    return NextDiT(config, device="meta")


def rope_axes(metadata: Mapping[str, str]) -> Literal[2, 3]:
    """Return how many axes a multi-view model's RoPE has, which its weights do not tell: by the file's metadata, or 2.

    Raises ValueError if that is neither 2 nor 3.
    """
    match metadata.get("rope_axes", "2"):
        case "2":
            return 2
        case "3":
            return 3
        case other:
            raise ValueError(f"its metadata has rope_axes {other!r}, expected 2 or 3: download it again")


def save_model(model: NextDiT | MultiViewNextDiT, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a Next-DiT as safetensors in the reference layout; the file appears under its name only when whole."""
    path = Path(path)
    axes = {"rope_axes": str(model.rope_axes)} if isinstance(model, MultiViewNextDiT) else {}
    weights = {key: x.detach().contiguous().cpu() for key, x in to_reference_keys(model.state_dict()).items()}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        save_file(weights, unfinished, metadata={"format": "pt", **axes, **(metadata or {})})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_keys(shapes: Mapping[str, tuple[int, ...]], config: NextDiTConfig) -> None:
    """Raise ValueError, naming up to ten keys, unless weights named as our modules are exactly those of `config`."""
    expected = {key: tuple(x.shape) for key, x in build(config, shapes).state_dict().items()}
    extras = extra_keys(shapes)
    packed = {f"{module}.weight" for module in quantised_modules(shapes)}  # stored in a shape of their own
    problems = [f"{key} is missing" for key in expected if key not in shapes]
    problems += [f"{key} is unexpected" for key in shapes if key not in expected and key not in extras]
    problems += [
        f"{key} has shape {tuple(shapes[key])}, expected {shape}"
        for key, shape in expected.items()
        if key in shapes and tuple(shapes[key]) != shape and key not in packed
    ]
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ValueError(
            f"does not hold the weights of a {config.n_layers}-layer Next-DiT of width {config.dim}: "
            f"{'; '.join(problems[:10])}{more}. The file is damaged or of another model: download it again"
        )
