"""Checkpoints of tensor-parallel training, a file a rank: found, checked and joined as the reference code cut them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

NAME = re.compile(r"(?P<start>.+\.)(?P<rank>\d+)-of-(?P<count>\d+)(?P<end>\.[^.]+)")
# What each rank has a part of: the outputs of a matrix (rows, and what belongs to them), or its inputs (columns).
OUTPUTS = re.compile(
    r"(^|\.)(x_embedder|t_embedder\.mlp\.0|cap_embedder\.1|attention\.(wq|wk|wv|wk_y|wv_y|q_norm|k_norm|ky_norm)"
    r"|feed_forward(_time|_space)?(\.experts\.\d+)?\.(w1|w3)|adaLN_modulation\.1|final_layer\.linear)\.(weight|bias)$"
    r"|(^|\.)attention\.gate$"
)
INPUTS = re.compile(
    r"(^|\.)(t_embedder\.mlp\.2|attention\.wo|feed_forward(_time|_space)?(\.experts\.\d+)?\.w2"
    r"|y_embedder\.embedding_table)\.weight$"
)
ALIKE = 0.01
"""By how much of its largest number a tensor that all ranks have may differ from rank to rank, by rounding."""

Header = dict[str, tuple[str, tuple[int, ...]]]


def ranks(file: Path) -> list[Path]:
    """Return the files of all ranks of which `file` is one, in their order, or `file` alone if it is no part.

    Raises FileNotFoundError if one is missing, ValueError for a number beyond their count.
    """
    name = NAME.fullmatch(file.name)
    if name is None or int(name["count"]) == 1:
        return [file]
    count, digits = int(name["count"]), len(name["rank"])
    if int(name["rank"]) >= count:
        raise ValueError(f"{file} is called rank {int(name['rank'])} of {count}, which are numbered from 0: rename it")
    names = [f"{name['start']}{rank:0{digits}}-of-{name['count']}{name['end']}" for rank in range(count)]
    missing = [each for each in names if not (file.parent / each).is_file()]
    if missing:
        others = sorted(each.name for each in file.parent.glob(f"{name['start']}*-of-*") if each.name not in names)
        more = f"; {', '.join(others[:5])} beside it cannot take their place: they are of another cut" if others else ""
        raise FileNotFoundError(
            f"{file} is one of {count} parts, of which {len(missing)} are missing: {', '.join(missing[:10])}; put all "
            f"parts into {file.parent}{more}"
        )
    return [file.parent / each for each in names]


def ranked(files: Sequence[Path]) -> bool:
    """Tell whether files are those of several ranks, as `ranks` returns them."""
    return len(files) > 1 and NAME.fullmatch(files[0].name) is not None


def join_headers(files: Sequence[Path], headers: Sequence[Header]) -> Header:
    """Return dtype and shape of the joined tensors. Raises ValueError if the parts are of different models."""
    _check(files, headers)
    joined: Header = {}
    for key, (dtype, shape) in headers[0].items():
        axis = axis_of(key)
        if axis is not None:
            shape = (*shape[:axis], shape[axis] * len(files), *shape[axis + 1 :])
        joined[key] = dtype, shape
    return joined


def join(files: Sequence[Path], parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the joined tensors; the parts are emptied. Raises ValueError if they are of different models."""
    _check(files, [{key: (str(x.dtype), tuple(x.shape)) for key, x in part.items()} for part in parts])
    joined = {}
    for key in list(parts[0]):
        axis, tensors = axis_of(key), [part.pop(key) for part in parts]
        joined[key] = _same(files, key, tensors) if axis is None else torch.cat(tensors, dim=axis)
    return joined


def axis_of(key: str) -> int | None:
    """Return along which axis ranks have a tensor's parts, None if each has all of it."""
    return 0 if OUTPUTS.search(key) else 1 if INPUTS.search(key) else None


def _check(files: Sequence[Path], headers: Sequence[Mapping[str, tuple]]) -> None:
    for file, header in zip(files[1:], headers[1:], strict=True):
        wrong = [key for key in {**headers[0], **header} if headers[0].get(key) != header.get(key)]
        if wrong:
            first, other = (each.get(wrong[0], "nothing") for each in (headers[0], header))
            raise ValueError(
                f"{file} is not of the same model as {files[0].name}: {wrong[0]} is {other} there, {first} here "
                f"({len(wrong)} tensors differ so); put the parts of one checkpoint into a folder of their own"
            )


def _same(files: Sequence[Path], key: str, tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0].float()
    for file, tensor in zip(files[1:], tensors[1:], strict=True):
        if (tensor.float() - first).abs().max() > ALIKE * first.abs().max():
            raise ValueError(
                f"{key} is the same in all parts of a checkpoint, but {file} and {files[0].name} have different "
                "numbers: they are of different trainings; put the parts of one into a folder of their own"
            )
    return tensors[0]
