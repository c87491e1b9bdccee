"""Reading text that people and other programs write: UTF-8 with or without a byte order mark, any line ends."""

import codecs
import json
import re
from pathlib import Path
from typing import Any

# The mark of UTF-32 LE begins with that of UTF-16 LE: longest first.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def decode(data: bytes, source: str, what: str = "text") -> str:
    r"""Return UTF-8 bytes as text, without a byte order mark and with \n for \r\n and \r.

    `source`, which should be `what`, is named in errors.

    ValueError if they are in another encoding.
    """
    found = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if found is None and b"\0" in data:
        found = "UTF-16 or UTF-32, or no text at all"
    try:
        text = "" if found else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"another encoding (byte 0x{data[error.start]:02x} at position {error.start} is not UTF-8)"
    if found:
        raise ValueError(
            f"{source} is in {found}, expected {what} in UTF-8: open it in a text editor and save it "
            "with the encoding UTF-8"
        )
    return re.sub("\r\n?", "\n", text)


def absent(path: Path) -> str:
    """Say that a path leads to nothing, and where it leads if it is a link."""
    link = f" (it is a link to {path.readlink()}, which is gone)" if path.is_symlink() else ""
    return f"{path} does not exist{link}"


def read_text(path: Path) -> str:
    """Read a text file, as `decode`; ValueError names it, and so does OSError."""
    return decode(path.read_bytes(), str(path))


def split_lines(text: str) -> list[str]:
    r"""Split at \n, and there only: other characters that Python's `splitlines` cuts at stay, as U+2028."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def parse_json(content: bytes | str, source: str, what: str = "a JSON object") -> dict[str, Any]:
    """Parse a JSON object that stands in `source` and should be `what`; ValueError names both when it is not one."""
    text = decode(content, source, what) if isinstance(content, bytes) else content
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{source} is not valid JSON ({error}), expected {what}; download it again") from error
    if not isinstance(data, dict):
        raise ValueError(f"{source} holds a JSON {type(data).__name__}, expected {what}, an object; download it again")
    return data


def read_json(path: Path, what: str = "a JSON object") -> dict[str, Any]:
    """Read a JSON object that should be `what`; ValueError and OSError name the file when it is not one."""
    try:
        return parse_json(path.read_bytes(), str(path), what)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{absent(path)}; expected {what}") from error
