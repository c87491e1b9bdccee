"""Text that people write, as their editors save it."""

import codecs
import json

import pytest

from lumina_next.nextdit.files import shards
from lumina_next.nextdit.text_files import read_json, read_text, split_lines

TEXT = "ein Fuchs\n狐 🦊\nnaïve\n"
ODD = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_marks_and_line_ends_are_no_part_of_the_text(tmp_path, mark, end):
    file = tmp_path / "text.txt"
    file.write_bytes(mark + TEXT.replace("\n", end).encode())
    assert read_text(file) == TEXT
    assert split_lines(read_text(file)) == ["ein Fuchs", "狐 🦊", "naïve"]


@pytest.mark.parametrize("text, lines", [("", []), ("\n", [""]), ("a", ["a"]), ("a\n\nb\n", ["a", "", "b"])])
def test_lines_are_counted_as_by_editors(text, lines):
    assert split_lines(text) == lines == text.splitlines()


def test_only_line_ends_end_a_line():
    assert split_lines(f"{ODD}\n{ODD}") == [ODD, ODD]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "latin-1", "shift_jis"]
)
@pytest.mark.parametrize("read", [read_text, read_json])
def test_other_encodings_are_named(tmp_path, encoding, read):
    file = tmp_path / "text.json"
    file.write_bytes('{"a": "naïve 狐"}'.encode(encoding, "ignore"))
    with pytest.raises(ValueError, match=r"text\.json is in .*, expected .* in UTF-8: .*with the encoding UTF-8"):
        read(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<html>", "is not valid JSON"), (b"", "is not valid JSON"), (b"[]", "holds a JSON list"), (b"[" * 99999, "not")],
)
def test_what_is_no_json_object_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json.*{message}"):
        read_json(tmp_path / "config.json")


def test_a_shard_index_with_a_mark(tmp_path):
    (tmp_path / "part.safetensors").touch()
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(codecs.BOM_UTF8 + json.dumps({"weight_map": {"a": "part.safetensors"}}).encode())
    assert shards(index) == [tmp_path / "part.safetensors"]
    index.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="model.safetensors.index.json is not valid JSON"):
        shards(index)
