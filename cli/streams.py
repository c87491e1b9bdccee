"""The standard output, which may be closed, a pipe that nobody reads on, or in an encoding that lacks letters."""

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BROKEN_PIPE = 141
"""Exit code of a program whose reader is gone: 128 and the number of SIGPIPE."""


def lossless(error: UnicodeError) -> tuple[str | bytes, int]:
    """Keep the bytes of a file's name that is in no encoding, and write what an encoding lacks as JSON can."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeEncodeError as unknown:
        return json.dumps(unknown.object[unknown.start : unknown.end])[1:-1], unknown.end


codecs.register_error("lumina_next.lossless", lossless)


@contextmanager
def usable_output() -> Iterator[None]:
    """Make it possible to print anything, and end quietly, with BROKEN_PIPE, when nobody reads on."""
    if sys.stdout is None:  # started without one, as from a window or by `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lumina_next.lossless")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would fail again at the end
        raise SystemExit(BROKEN_PIPE) from None
