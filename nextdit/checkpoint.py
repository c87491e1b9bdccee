"""Checkpoints in and out: any family and layout to a network, strictly, and back to the reference layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .families import FAMILIES, Recognised, UnknownCheckpoint, family_of, recognised
from .family import Family, Shapes, fact_text
from .files import FLOATS_OF_8_BITS, float_dtype, network_file, read_header, read_metadata, read_weights, shards
from .infer import PART
from .quantised import dequantise, extra_keys, markers, quantised_modules
from .whole_file import whole_file


@dataclass(frozen=True)
class Description:
    """What a checkpoint's header tells: what it is, its architecture, its metadata and its tensors (dtype, shape)."""

    found: Recognised
    config: Any
    metadata: Mapping[str, str]
    header: Mapping[str, tuple[str, tuple[int, ...]]]

    @property
    def family(self) -> Family:
        return self.found.family


def describe(path: str | Path) -> Description:
    """Read what a file or folder is, without its weights, and check that it is whole.

    Raises FileNotFoundError, UnknownCheckpoint or ValueError, naming the file.
    """
    file = network_file(path)
    header, metadata = read_header(file), read_metadata(file)
    try:
        found = recognised(header)
        facts = {} if not found.facts else {name: read_weights(file)[key] for name, key in found.facts.items()}
        metadata |= {name: fact_text(value) for name, value in facts.items()}
        shapes = found.shapes({key: shape for key, (_, shape) in header.items()})
        config = found.family.read(shapes, metadata)
        check_keys(shapes, found.family, config)
    except UnknownCheckpoint as error:
        raise UnknownCheckpoint(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Description(found, config, metadata, header)


def load_model(
    path: str | Path, *, dtype: torch.dtype | None = None, device: Any = "cpu", family: str | None = None
) -> Any:
    """Load a network of any family from a file or folder of any layout, in evaluation mode.

    Reference or diffusers keys, safetensors or a pickle of tensors, one file or shards; fp8 weights become bfloat16
    unless `dtype` says otherwise, quantised ones are read as `dequantise` says. `family` is the only one that will do.
    Raises FileNotFoundError, UnknownCheckpoint or ValueError, naming file and keys.
    """
    file = network_file(path)
    weights, metadata = read_weights(file), read_metadata(file)
    try:
        found = recognised(weights)
        check_family(found.family, family)
        metadata = found.metadata(weights, metadata)
        for part in shards(file):
            weights |= markers(weights, read_metadata(part), found.prefix)
        weights = recognised(weights).rename(weights)
        extras = extra_keys(weights)
        dtype = dtype or float_dtype({key: x for key, x in weights.items() if key not in extras})
        dtype = torch.bfloat16 if dtype in FLOATS_OF_8_BITS else dtype
        model = build(found.family, dequantise(weights, dtype), metadata)
    except UnknownCheckpoint as error:
        raise UnknownCheckpoint(f"{file}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return model.to(device).eval()


def check_family(found: Family, wanted: str | None) -> None:
    """Raise ValueError if a checkpoint is of another family than the `wanted` one."""
    if wanted is not None and found.name != wanted:
        expected = next(family for family in FAMILIES if family.name == wanted)
        raise ValueError(f"it is {found.title}, expected {expected.title}")


def build(family: Family, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> nn.Module:
    """Return the network of a family that has these weights, named as its modules. Raises ValueError if none has."""
    shapes = {key: tuple(x.shape) for key, x in weights.items()}
    config = family.read(shapes, metadata)
    check_keys(shapes, family, config)
    model = family.network(config, device="meta")
    model.load_state_dict(weights, assign=True)
    return model


def save_model(model: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network as safetensors in the reference layout; the file appears under its name only when whole."""
    path, family = Path(path), family_of(model)
    weights = {family.reference(key): x.detach().contiguous().cpu() for key, x in model.state_dict().items()}
    about = {"format": "pt", **family.about(model.config), **(metadata or {})}
    with whole_file(path) as unfinished:
        save_file(weights, unfinished, metadata=about)


def expected_shapes(family: Family, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that a network of this config has."""
    return {key: tuple(x.shape) for key, x in family.network(config, device="meta").state_dict().items()}


def check_keys(shapes: Shapes, family: Family, config: Any) -> None:
    """Raise ValueError, naming up to ten keys, unless weights named as our modules are exactly those of a config."""
    expected = expected_shapes(family, config)
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
        query = "layers.0.attention.wq.weight"
        rows, whole = (each.get(query, (1,))[0] for each in (shapes, expected))
        if query not in packed and rows < whole and whole % rows == 0:
            more += f"; it may be {PART}"
        raise ValueError(
            f"does not hold the weights of {family.title} of {config.n_layers} layers and width {config.dim}: "
            f"{'; '.join(problems[:10])}{more}; the file is damaged or of another model: download it again"
        )
