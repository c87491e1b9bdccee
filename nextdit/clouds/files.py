"""Point clouds in files: PLY, XYZ text, the vertices of OBJ, and NumPy arrays."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
"""The names that PLY has for numbers, and NumPy's."""

ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class Element:
    """One kind of thing in a PLY file: how many, and the name and type of each property, None for lists."""

    name: str
    count: int
    properties: list[tuple[str, str | None]]


def read_points(path: str | Path) -> Tensor:
    """Return the points (N, 3), float32, of a .ply, .xyz, .txt, .csv, .pts, .obj or .npy file.

    Raises FileNotFoundError, or ValueError that names the file and says what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, or is a folder; give a file of points")
    return parse_points(path.read_bytes(), path.suffix, str(path))


def parse_points(content: bytes, suffix: str, name: str) -> Tensor:
    """Return the points (N, 3) of a file's content. Raises ValueError that names the file."""
    read = READERS.get(suffix.lower().lstrip("."))
    if read is None:
        raise ValueError(f"{name}: points are read from {', '.join('.' + known for known in READERS)} files")
    try:
        with np.errstate(over="ignore"):  # told below
            points = np.ascontiguousarray(read(content), dtype=np.float32)
        check_points(points)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"{name} is no point cloud: {error}") from error
    return torch.from_numpy(points.copy())


def check_points(points: np.ndarray) -> None:
    """Raise ValueError unless these are points (N, 3), finite and not all in one place."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"expected rows of x, y, z, got an array of shape {points.shape}")
    if len(points) < 2:
        raise ValueError(f"it has {len(points)} points, expected at least 2")
    if not np.isfinite(points).all():
        raise ValueError("some of its coordinates are NaN or infinite; remove those points")
    if not (points.max(0) - points.min(0)).any():
        raise ValueError("all of its points are in one place")


def read_ply(content: bytes) -> np.ndarray:
    """Return the vertices (N, 3) of a PLY file, text or binary; other elements and properties are passed over."""
    order, elements, body = ply_header(content)
    rest = content[body:]
    if order == "":
        lines = rest.decode("ascii", "replace").split("\n")
        start = 0
        for element in elements:
            if element.name == "vertex":
                columns = [[name for name, _ in element.properties].index(axis) for axis in "xyz"]
                rows = [line.split() for line in lines[start : start + element.count]]
                check_count(len([row for row in rows if row]), element.count)
                return np.array([[float(row[column]) for column in columns] for row in rows])
            start += element.count
    for element in elements:
        if any(kind is None for _, kind in element.properties):
            raise ValueError(
                f"lists ({element.name}) stand before its vertices; write it again with the vertices first"
            )
        dtype = np.dtype([(name, order + (kind or "")) for name, kind in element.properties])
        if element.name == "vertex":
            check_count(len(rest) // dtype.itemsize, element.count)
            table = np.frombuffer(rest, dtype, element.count)
            return np.stack([table[axis] for axis in "xyz"], axis=1)
        rest = rest[dtype.itemsize * element.count :]
    raise ValueError("it has no vertices")


def ply_header(content: bytes) -> tuple[str, list[Element], int]:
    """Return byte order, elements and the place where the data begin. Raises ValueError if it is no PLY header."""
    end = content.find(b"end_header")
    if not content.startswith(b"ply") or end < 0:
        raise ValueError("it does not begin with a PLY header")
    order, elements = None, []
    for line in content[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if words[:1] == ["format"]:
            order = ORDERS.get(words[1])
        elif words[:1] == ["element"]:
            elements.append(Element(words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1].properties.append((words[-1], None if words[1] == "list" else TYPES[words[1]]))
    if order is None:
        raise ValueError(f"its format is none of {', '.join(ORDERS)}")
    vertex = next((element for element in elements if element.name == "vertex"), None)
    if vertex is None or not {"x", "y", "z"} <= {name for name, _ in vertex.properties}:
        raise ValueError("it has no vertices with x, y and z")
    return order, elements, content.index(b"\n", end) + 1


def check_count(got: int, expected: int) -> None:
    """Raise ValueError if a file ends early."""
    if got < expected:
        raise ValueError(f"it ends after {got} of {expected} points; download or write it again")


def read_text(content: bytes) -> np.ndarray:
    """Return the first three numbers of every line, separated by blanks, commas or semicolons.

    A first line of one number, the count, or of words is passed over, and so is what follows a #.
    """
    lines = [line.split("#")[0].replace(",", " ").replace(";", " ").split() for line in text_of(content)]
    lines = [line for line in lines if line]
    if lines and (len(lines[0]) == 1 or not is_number(lines[0][0])):
        lines = lines[1:]
    if short := next((line for line in lines if len(line) < 3), None):
        raise ValueError(f"a line has fewer than three numbers: {' '.join(short)[:40]!r}")
    return np.array([[float(word) for word in line[:3]] for line in lines]).reshape(-1, 3)


def read_obj(content: bytes) -> np.ndarray:
    """Return the vertices (N, 3) of an OBJ file."""
    rows = [line.split() for line in text_of(content)]
    return np.array([[float(word) for word in row[1:4]] for row in rows if row[:1] == ["v"]]).reshape(-1, 3)


def read_npy(content: bytes) -> np.ndarray:
    """Return a NumPy array, which must be of numbers."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def text_of(content: bytes) -> list[str]:
    """Return the lines of a text file. Raises ValueError if it is binary."""
    if b"\0" in content:
        raise ValueError("it is binary, expected text")
    return content.decode("utf-8", "replace").splitlines()


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
    """Return the content of a file with points (N, 3). Raises ValueError on another suffix than those of WRITTEN."""
    table = np.ascontiguousarray(points.detach().cpu().numpy(), dtype="<f4")
    match suffix.lower().lstrip("."):
        case "ply":
            properties = "".join(f"property float {axis}\n" for axis in "xyz")
            header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
            return header.encode() + table.tobytes()
        case "xyz":
            return "".join(f"{x:.6g} {y:.6g} {z:.6g}\n" for x, y, z in table.tolist()).encode()
        case "npy":
            file = io.BytesIO()
            np.save(file, table)
            return file.getvalue()
    raise ValueError(f"points are written as {', '.join('.' + known for known in WRITTEN)}, got {suffix!r}")


def save_points(points: Tensor, path: str | Path) -> None:
    """Write points (N, 3) by the path's suffix; the file appears under its name only when whole."""
    path = Path(path)
    content = write_points(points, path.suffix)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
