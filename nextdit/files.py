"""Reading weights: single files, shards with an index, ranks, folders; never running code from a file."""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from . import ranks
from .family import NORM_GROUPS
from .text_files import absent, read_json

StateDict = dict[str, Tensor]

FLOATS_OF_8_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)
SAFETENSORS, PYTORCH = "safetensors", "PyTorch"
PICKLES = (".pth", ".pt", ".bin", ".ckpt")
AUDIO = ("audio_generation", "music_generation")
"""What the network's file is called in downloads of Lumina-T2Audio and Lumina-T2Music: it has no ending."""
# Where official downloads keep the network, best first.
NETWORK_FILES = (
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "consolidated_ema.00-of-01.safetensors",
    "consolidated.00-of-01.safetensors",
    "consolidated_ema.00-of-01.pth",
    "consolidated.00-of-01.pth",
)
RANKED = ("consolidated_ema", "consolidated")
ARGUMENTS = "model_args.pth"
"""What lies beside released weights: the arguments of their training, as Python objects."""


def network_file(path: str | Path) -> Path:
    """Return the file that holds the network: `path` itself, or what a downloaded folder has of it.

    Raises FileNotFoundError.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(absent(path))
    found = published_file(path) or audio_file(path)
    if found is None:
        looked = ", ".join((*NETWORK_FILES, *AUDIO))
        raise FileNotFoundError(f"{path} has no network weights; looked for {looked}, and a single .ckpt")
    return found


def published_file(folder: Path) -> Path | None:
    """Return what a folder has of NETWORK_FILES, or of the parts of a training on several ranks."""
    for name in NETWORK_FILES:
        if (folder / name).is_file():
            return folder / name
    for name in RANKED:  # of which the first found names the others
        for suffix in (".safetensors", *PICKLES):
            if found := sorted(folder.glob(f"{name}.*-of-*{suffix}")):
                return found[0]
    return None


def audio_file(folder: Path) -> Path | None:
    """Return the checkpoint of an audio model's download: of AUDIO, or the only .ckpt there, such as 119.ckpt."""
    for place in (*(folder / name for name in AUDIO), folder):
        if place.is_file():
            return place
        if len(found := sorted(place.glob("*.ckpt"))) == 1:
            return found[0]
    return None


def shards(file: Path) -> list[Path]:
    """Return the files that hold the tensors: `file`, all ranks of which it is one, or all that a *.index.json names.

    Raises FileNotFoundError if a shard or rank is missing, ValueError if the index is not one.
    """
    if not file.name.endswith(".index.json"):
        return ranks.ranks(file)
    try:
        names = sorted(set(read_json(file, "a shard index")["weight_map"].values()))
        found = [file.parent / Path(name).name for name in names]
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{file} is not a shard index: {error!r}; download it again") from error
    missing = [shard.name for shard in found if not shard.is_file()]
    if missing:
        raise FileNotFoundError(f"{file.parent} lacks {len(missing)} of {len(found)} shards: {', '.join(missing[:10])}")
    return found


def is_pickle(file: Path) -> bool:
    """Tell whether a file is one of PyTorch's, by its name, or by how it begins where the name has no known ending."""
    if file.suffix in (*PICKLES, ".safetensors", ".json"):
        return file.suffix in PICKLES
    try:
        with file.open("rb") as opened:
            return opened.read(2) in (b"PK", b"\x80\x02")
    except OSError:
        return False


def fingerprint(path: str | Path) -> str:
    """Return a text that changes when one of the files that hold the tensors is replaced. Raises as `shards`."""
    return fingerprint_of(shards(network_file(path)))


def fingerprint_of(files: Iterable[Path]) -> str:
    """Return a text that changes when one of these files is replaced. Raises OSError."""
    found = ((file, file.stat()) for file in files)
    return ";".join(f"{file}:{about.st_size}:{about.st_mtime_ns}" for file, about in found)


def read_header(path: str | Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of every tensor of a safetensors file, folder or index, without loading any.

    dtype is safetensors' name ("BF16", "F8_E4M3", …). Raises FileNotFoundError, or ValueError on a damaged file.
    """
    files = shards(network_file(path))
    headers = [_header(file) for file in files]
    if ranks.ranked(files):
        return ranks.join_headers(files, headers)
    return {key: about for header in headers for key, about in header.items()}


def _header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    if is_pickle(file):
        found = _read_pickle(file, mmap=True)
        return {key: (str(x.dtype).removeprefix("torch."), tuple(x.shape)) for key, x in found.items()}
    with _open(file) as opened:
        parts = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118 - not a mapping
        return {key: (part.get_dtype(), tuple(part.get_shape())) for key, part in parts.items()}


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return a safetensors file's metadata, empty for other formats; of several ranks also how many there are.

    In training on ranks, each normalises the heads that it has.
    """
    files = shards(network_file(path))
    told = {NORM_GROUPS: str(len(files))} if ranks.ranked(files) else {}
    if is_pickle(files[0]):
        return told
    with _open(files[0]) as file:
        return told | (file.metadata() or {})


def read_weights(path: str | Path) -> StateDict:
    """Load every tensor of a file, index or folder onto the CPU.

    Raises FileNotFoundError, or ValueError on a damaged file or a pickle that holds more than tensors (nothing in it
    is run).
    """
    files = shards(network_file(path))
    if ranks.ranked(files):
        return ranks.join(files, [_weights(file) for file in files])
    return {key: tensor for file in files for key, tensor in _weights(file).items()}


def _weights(file: Path) -> StateDict:
    if is_pickle(file):
        return _read_pickle(file)
    with _open(file) as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118


def read_tensor(file: Path, key: str) -> Tensor:
    """Load one tensor of a safetensors file. Raises FileNotFoundError, or ValueError on a damaged file."""
    with _open(file) as opened:
        return opened.get_tensor(key)


def float_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    """Return the floating dtype that holds most of the numbers. Raises ValueError if none does."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in weights.values():
        if tensor.is_floating_point():
            sizes[tensor.dtype] += tensor.numel()
    if not sizes:
        raise ValueError("the weights hold no floating point tensor; expected fp32, fp16, bf16 or fp8 weights")
    return sizes.most_common(1)[0][0]


def _open(file: Path):
    try:
        return safe_open(file, framework="pt", device="cpu")
    except FileNotFoundError as error:
        raise FileNotFoundError(absent(file)) from error
    except PermissionError as error:
        raise PermissionError(f"{file} may not be read: change its permissions") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(
            mistaken(file, SAFETENSORS)
            or f"{file} is not a whole safetensors file ({error}); it is damaged or was not downloaded to the end: "
            "download it again"
        ) from error


def mistaken(file: Path, kind: str) -> str | None:
    """Return what to say of a file that is no weights, or not of the kind that its name says; None if neither."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(64)
    except OSError:
        return None
    if begin.startswith(b"version https://git-lfs"):
        return f"{file} is a Git LFS pointer, not the weights: run `git lfs pull` in its repository, or download it"
    if begin.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return f"{file} is not a whole {kind} file but a web page: download the file itself"
    if kind != PYTORCH and begin.startswith((b"PK\x03\x04", b"\x80\x02")):
        return f"{file} is a PyTorch file under another name: rename it to end in .pth"
    if kind != SAFETENSORS and begin[8:10] == b'{"':
        return f"{file} is a safetensors file under another name: rename it to end in .safetensors"
    return None


def _read_pickle(file: Path, mmap: bool = False) -> dict[str, Tensor]:
    if file.name == ARGUMENTS:
        raise ValueError(
            f"{file} holds no weights but the arguments of a training, as Python objects, which could run code: it was "
            "not opened, and is not needed; choose consolidated.00-of-01 or the folder that it is in"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch's, of what is refused below
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(file))
    except PermissionError as error:
        raise PermissionError(f"{file} may not be read: change its permissions") from error
    except pickle.UnpicklingError as error:
        if said := mistaken(file, PYTORCH):
            raise ValueError(said) from error
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"Python objects other than tensors{f' ({found[1]})' if found else ''}"
        raise ValueError(
            f"{file} was refused: it holds {what}, which could run code (nothing was run); use the safetensors "
            "version, or convert it on a machine that you can afford to lose"
        ) from error
    except Exception as error:  # a damaged pickle ends in any
        raise ValueError(
            mistaken(file, PYTORCH)
            or f"{file} is not a whole PyTorch file ({str(error) or type(error).__name__}); download it again"
        ) from error
    for inner in ("state_dict", "generator"):  # Lightning's, and vocoders'
        if isinstance(content, Mapping) and isinstance(content.get(inner), Mapping):
            content = content[inner]
    if not isinstance(content, Mapping) or not all(isinstance(x, Tensor) for x in content.values()):
        raise ValueError(f"{file} holds no state dict (a mapping from names to tensors)")
    return dict(content)
