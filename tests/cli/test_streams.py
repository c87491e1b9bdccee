"""What is printed arrives whatever the output is: in any encoding, in a pipe that nobody reads, or in none."""

import io
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from lumina_next.cli import main

POINT = ["generate", "fox", "--steps", "1", "--cfg", "1", "--width", "4", "--height", "4"]


@pytest.fixture
def printed(monkeypatch):
    """A function that runs the command line with an output in an encoding, and returns its exit code and bytes."""

    def run(encoding: str, *arguments: str) -> tuple[int, bytes]:
        content = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        return code, content.getvalue()

    return run


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "command", ["generate", "points", "class", "video", "audio", "classify", "inspect", "download"]
)
def test_help_is_shown_in_any_encoding(command, encoding, printed):
    code, out = printed(encoding, command, "--help")
    assert code == 0 and out.startswith(b"usage: lumina-next")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_stays_json_in_any_encoding(encoding, printed):
    Image.new("RGB", (32, 32), "white").save("狐🦊.png")
    code, line = printed(encoding, "classify", "狐🦊.png", "--language", "emoji", "--top", "3")
    read = json.loads(line.decode(encoding))
    assert code == 0 and read["file"] == "狐🦊.png" and len(read["top"]) == 3 and not read["label"].isascii()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names of any bytes are Linux's")
def test_a_name_in_no_encoding_is_printed_byte_by_byte(printed):
    assert printed("utf-8", *POINT, "-o", "b\udcffd.png") == (0, b"b\xffd.png\n")


def test_without_an_output_it_works(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["class", "--list"]) == 0 == main([*POINT, "-o", "fox.png"])
    assert os.path.exists("fox.png")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
def test_a_pipe_that_nobody_reads_ends_it_quietly():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "lumina_next.cli", "class", "--list"]
    with open(write, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 141 and done.stderr == b""
