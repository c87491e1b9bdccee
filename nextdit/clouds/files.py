"""Point clouds in files: PLY, XYZ text, the vertices of OBJ, and NumPy arrays."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..text_files import absent
from ..whole_file import whole_file
from .ply import read_ply

FAR = 1000
"""How many of its own sizes from 0 a cloud may lie in float32: beyond, 16.8 million steps are too coarse for it."""
LARGEST = 1e30
"""The largest coordinate: squares of larger ones are none in float32."""
COLUMNS = 9
"""How many columns an array of points may have: coordinates, and colours and normals, which are passed over."""


def read_points(path: str | Path) -> Tensor:
    """Return the points (N, 3) of a .ply, .xyz, .txt, .csv, .pts, .obj or .npy file.

    In float32, or float64 where they lie so far from 0, as on maps, that float32 would blur them. Raises
    FileNotFoundError, IsADirectoryError, or ValueError that names the file and says what is wrong with it.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file of points")
    if not path.exists():
        raise FileNotFoundError(f"{absent(path)}; give a file of points")
    return parse_points(path.read_bytes(), path.suffix, str(path))


def parse_points(content: bytes, suffix: str, name: str) -> Tensor:
    """Return the points (N, 3) of a file's content. Raises ValueError that names the file."""
    read = READERS.get(suffix.lower().lstrip("."))
    if read is None:
        raise ValueError(f"{name}: points are read from {', '.join('.' + known for known in READERS)} files")
    try:
        points = np.ascontiguousarray(read(content), dtype=np.float64)
        check_points(points)
    except (ValueError, IndexError, KeyError, OverflowError, TypeError, EOFError) as error:
        raise ValueError(f"{name} is no point cloud: {error}") from error
    far = np.abs(points).max() > FAR * (points.max(0) - points.min(0)).max()
    return torch.from_numpy(points.astype(np.float64 if far else np.float32))


def check_points(points: np.ndarray) -> None:
    """Raise ValueError unless these are points (N, 3), finite and not all in one place."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"expected rows of x, y, z, got an array of shape {points.shape}")
    if len(points) < 2:
        raise ValueError(f"it has {len(points)} points, expected at least 2")
    if wrong := int((~(np.abs(points) < LARGEST)).any(1).sum()):
        raise ValueError(
            f"{wrong} of its {len(points)} points have coordinates that are NaN or infinite, or beyond {LARGEST:g}; "
            "remove them"
        )
    if not (points.max(0) - points.min(0)).any():
        raise ValueError("all of its points are in one place")


def read_text(content: bytes) -> np.ndarray:
    """Return three numbers of every line, separated by blanks, commas or semicolons.

    Those are in the columns x, y and z if the first line names them, else the first. A first line of one number, the
    count, or of words is passed over, and so is what follows a #.
    """
    lines = [line for line in (words_of(each.split("#")[0]) for each in text_of(content)) if line]
    columns = [0, 1, 2]
    if lines and not all(is_number(word) for word in lines[0]):
        names = [word.lstrip("/").lower() for word in lines[0]]
        columns = [names.index(axis) for axis in "xyz"] if {"x", "y", "z"} <= set(names) else columns
        lines = lines[1:]
    elif lines and len(lines[0]) == 1:
        lines = lines[1:]
    if short := next((line for line in lines if len(line) <= max(columns)), None):
        raise ValueError(f"a line has fewer than three numbers: {' '.join(short)[:40]!r}")
    return np.array([[float(line[column]) for column in columns] for line in lines]).reshape(-1, 3)


DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?(e[+-]?\d+)?", re.IGNORECASE)


def words_of(line: str) -> list[str]:
    """Return the numbers or names of a line; a comma is a decimal one where something else stands between them."""
    words = line.split(";") if ";" in line else line.split()
    if ";" in line or (len(words) >= 3 and all(DECIMAL_COMMA.fullmatch(word) for word in words)):
        words = " ".join(words).replace(",", ".").split()
    else:
        words = line.replace(",", " ").split()
    return [stripped for word in words if (stripped := word.strip("\"'"))]


def read_obj(content: bytes) -> np.ndarray:
    """Return the vertices (N, 3) of an OBJ file."""
    rows = [line.split() for line in text_of(content)]
    rows = [row for row in rows if row[:1] == ["v"]]
    if short := next((row for row in rows if len(row) < 4), None):
        raise ValueError(f"a vertex has fewer than three numbers: {' '.join(short)[:40]!r}")
    return np.array([[float(word) for word in row[1:4]] for row in rows]).reshape(-1, 3)


def read_npy(content: bytes) -> np.ndarray:
    """Return the points of a NumPy array of numbers: its first three columns, or its fields x, y and z."""
    table = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(table, np.ndarray):
        raise ValueError("it holds several arrays, expected one, as numpy.save writes")
    if {"x", "y", "z"} <= set(table.dtype.names or ()):
        table = np.stack([table[axis].ravel() for axis in "xyz"], axis=1)
    if table.dtype.kind not in "fiu":
        raise ValueError(f"it is an array of {table.dtype}, expected numbers")
    return table[:, :3] if table.ndim == 2 and 3 < table.shape[1] <= COLUMNS else table


def text_of(content: bytes) -> list[str]:
    """Return the lines of a text file. Raises ValueError if it is binary."""
    if b"\0" in content:
        raise ValueError("it is binary, expected text")
    return content.decode("utf-8-sig", "replace").splitlines()


def is_number(word: str) -> bool:
    """Tell whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "ply": read_ply,
    "xyz": read_text,
    "txt": read_text,
    "csv": read_text,
    "pts": read_text,
    "obj": read_obj,
    "npy": read_npy,
}
WRITTEN = ("ply", "xyz", "npy")


def write_points(points: Tensor, suffix: str) -> bytes:
    """Return the content of a file with points (N, 3), in float64 if they are.

    Raises ValueError on another suffix than those of WRITTEN.
    """
    wide = points.dtype == torch.float64
    table = np.ascontiguousarray(points.detach().cpu().numpy(), dtype="<f8" if wide else "<f4")
    match suffix.lower().lstrip("."):
        case "ply":
            properties = "".join(f"property {'double' if wide else 'float'} {axis}\n" for axis in "xyz")
            header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
            return header.encode() + table.tobytes()
        case "xyz":  # as many digits as it takes to read the same numbers
            return "".join(f"{x} {y} {z}\n" for x, y, z in table.astype(str).tolist()).encode()
        case "npy":
            file = io.BytesIO()
            np.save(file, table)
            return file.getvalue()
    raise ValueError(f"points are written as {', '.join('.' + known for known in WRITTEN)}, got {suffix!r}")


def save_points(points: Tensor, path: str | Path) -> None:
    """Write points (N, 3) by the path's suffix; the file appears under its name only when whole."""
    path = Path(path)
    content = write_points(points, path.suffix)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
