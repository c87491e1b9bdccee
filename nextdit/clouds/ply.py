"""The vertices of PLY files, text or binary."""

import re
from dataclasses import dataclass

import numpy as np

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

    def check_no_lists(self) -> None:
        """Raise ValueError if a property is a list: then its size is known only by reading it all."""
        if any(kind is None for _, kind in self.properties):
            raise ValueError(
                f"lists ({self.name}) stand before or in its vertices; write it again with plain vertices first"
            )


def read_ply(content: bytes) -> np.ndarray:
    """Return the vertices (N, 3) of a PLY file; other elements and properties are passed over."""
    order, elements, body = header(content)
    return from_text(elements, content[body:]) if order == "" else from_binary(order, elements, content[body:])


def from_text(elements: list[Element], rest: bytes) -> np.ndarray:
    """Return the vertices of what follows a header in text."""
    lines = [line for line in rest.splitlines() if line.strip()]
    for element in elements:
        if element.name == "vertex":
            element.check_no_lists()
            columns = [[name for name, _ in element.properties].index(axis) for axis in "xyz"]
            rows = [line.split() for line in lines[: element.count]]
            check_count(len(rows), element.count)
            if short := next((row for row in rows if len(row) <= max(columns)), None):
                raise ValueError(f"a vertex has too few numbers: {b' '.join(short).decode('ascii', 'replace')[:40]!r}")
            return np.array([[float(row[column]) for column in columns] for row in rows]).reshape(-1, 3)
        lines = lines[element.count :]
    raise ValueError("it has no vertices")


def from_binary(order: str, elements: list[Element], rest: bytes) -> np.ndarray:
    """Return the vertices of what follows a header in binary, of a byte order as NumPy writes it."""
    for element in elements:
        element.check_no_lists()
        dtype = np.dtype([(name, order + (kind or "")) for name, kind in element.properties])
        if element.name == "vertex":
            check_count(len(rest) // dtype.itemsize, element.count)
            table = np.frombuffer(rest, dtype, element.count)
            return np.stack([table[axis].astype(float) for axis in "xyz"], axis=1)
        rest = rest[dtype.itemsize * element.count :]
    raise ValueError("it has no vertices")


def header(content: bytes) -> tuple[str, list[Element], int]:
    """Return byte order, elements and the place where the data begin. Raises ValueError if it is no PLY header."""
    first = re.match(rb"ply[ \t]*(\r\n|\n|\r)", content)
    newline = first.group(1) if first else b"\n"  # binary data may begin with what ends a line elsewhere
    end = content.find(newline + b"end_header")
    if first is None or end < 0:
        raise ValueError("it does not begin with a PLY header")
    order: str | None = None
    elements: list[Element] = []
    for line in content[first.end() : end].decode("ascii", "replace").splitlines():
        try:
            order = read_line(line.split(), order, elements)
        except (IndexError, KeyError, ValueError) as error:
            raise ValueError(f"its header has a line that means nothing: {line[:60]!r}") from error
    if order is None:
        raise ValueError(f"its format is none of {', '.join(ORDERS)}")
    vertex = next((element for element in elements if element.name == "vertex"), None)
    if vertex is None or not {"x", "y", "z"} <= {name for name, _ in vertex.properties}:
        raise ValueError("it has no vertices with x, y and z")
    body = content.find(newline, end + len(newline))
    return order, elements, len(content) if body < 0 else body + len(newline)


def read_line(words: list[str], order: str | None, elements: list[Element]) -> str | None:
    """Add what a header's line says to the elements, and return the byte order that is known after it."""
    match words:
        case ["format", name, *_]:
            return ORDERS.get(name)
        case ["element", name, count]:
            if int(count) < 0:
                raise ValueError(count)
            elements.append(Element(name, int(count), []))
        case ["property", "list", *_, name]:
            elements[-1].properties.append((name.lower(), None))
        case ["property", kind, name]:
            elements[-1].properties.append((name.lower(), TYPES[kind]))
        case ["property" | "element" | "format", *_]:
            raise ValueError("too few words")
    return order


def check_count(got: int, expected: int) -> None:
    """Raise ValueError if a file ends early."""
    if got < expected:
        raise ValueError(f"it ends after {got} of {expected} points; download or write it again")
