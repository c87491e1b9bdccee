"""Where results cannot be written is said before any work, in one line; names that are allowed are written to."""

import errno
import os
from pathlib import Path

import pytest

from lumina_next.cli import main, outputs
from lumina_next.nextdit.whole_file import whole_file

COMMANDS = {
    "generate": (["generate", "fox", "--steps", "1", "--cfg", "1", "--width", "4", "--height", "4"], ".png"),
    "class": (["class", "fox", "--steps", "1", "--cfg", "1", "--width", "4", "--height", "4"], ".png"),
    "points": (["points", "--label", "mug", "--steps", "1", "--count", "8"], ".ply"),
    "video": (["video", "dog", "--steps", "1", "--cfg", "1", "--frames", "1"], ".gif"),
    "audio": (["audio", "rain", "--steps", "1", "--cfg", "1", "--seconds", "0.1"], ".wav"),
}


@pytest.fixture(params=COMMANDS)
def command(request):
    return COMMANDS[request.param]


def test_a_folder_of_that_name_is_named_before_any_work(command, fails):
    arguments, suffix = command
    Path(f"there{suffix}").mkdir()
    for more in ([], ["--overwrite"]):
        told = fails(*arguments, "-o", f"there{suffix}", *more)
        assert f"there{suffix} is a folder; give --output another name" in told


def test_a_folder_for_reading_only_is_named_before_any_work(command, fails, monkeypatch):
    arguments, suffix = command
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: False)  # the administrator may write everywhere
    told = fails(*arguments, "-o", f"a{suffix}")
    assert f"nothing can be written into {Path().resolve()}; give --output another folder" in told


def test_the_longest_name_is_written(command, capsys):
    arguments, suffix = command
    name = "狐" * ((255 - len(suffix)) // 3) + suffix
    assert main([*arguments, "-o", name]) == 0
    assert [file.name for file in Path().iterdir()] == [name]
    assert capsys.readouterr().out == f"{name}\n", "the file that was written is printed"


def test_a_name_that_is_too_long_is_one_line(command, fails):
    arguments, suffix = command
    assert "ame too long" in fails(*arguments, "-o", "a" * 300 + suffix)


def test_pictures_of_sounds_and_points_are_checked_too(fails):
    Path("there.png").mkdir()
    for name in ("points", "audio"):
        arguments, suffix = COMMANDS[name]
        told = fails(*arguments, "-o", f"a{suffix}", "--picture", "there.png", "--overwrite")
        assert "there.png is a folder; give --picture another name" in told


def test_what_a_link_points_to_is_replaced_and_the_link_stays():
    Path("real.txt").write_text("old")
    os.symlink("real.txt", "link.txt")
    with whole_file("link.txt") as unfinished:
        unfinished.write_text("new")
    assert Path("link.txt").is_symlink() and Path("real.txt").read_text() == "new"


def test_an_error_names_the_file_and_leaves_nothing():
    Path("a.bin").write_text("old")
    with pytest.raises(OSError, match=r"a\.bin") as caught, whole_file("a.bin") as unfinished:
        unfinished.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(unfinished))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == "a.bin"
    assert [file.name for file in Path().iterdir()] == ["a.bin"] and Path("a.bin").read_text() == "old"


def test_files_of_one_beginning_are_written_at_once():
    one, other = "a" * 60 + "1.txt", "a" * 60 + "2.txt"
    with whole_file(one) as first, whole_file(other) as second:
        first.write_text("1")
        second.write_text("2")
    assert Path(one).read_text() == "1" and Path(other).read_text() == "2"
