"""Files that appear under their names only when whole."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOLD = 40
"""How many letters of a file's name stand in that of its unfinished one: with all of them it might be too long."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a name beside a file, with its ending in small letters, whose content then gets the file's name.

    Where the file is a link, what it points to is replaced. Nothing stays of what was not written to its end. Raises
    OSError that names the file.
    """
    path = Path(path)
    target = path.resolve() if path.is_symlink() else path
    key = f"{zlib.crc32(os.fsencode(target.name)):08x}.{os.getpid()}"
    unfinished = target.with_name(f".{target.stem[:TOLD]}.{key}.unfinished{target.suffix.lower()}")
    try:
        yield unfinished
        os.replace(unfinished, target)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        unfinished.unlink(missing_ok=True)
