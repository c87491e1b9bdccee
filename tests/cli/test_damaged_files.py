"""Pictures, clips and weights that are damaged, or something else than their names say: named, in one line."""

import struct
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lumina_next.demo import MODEL

QUICK = ["--steps", "1", "--cfg", "1"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_bomb(file: Path) -> None:
    """Write a small PNG of more pixels than PIL opens."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def halved(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_picture_that_cannot_be_read_is_named(fails):
    write_bomb(Path("bomb.png"))
    Image.effect_noise((64, 64), 50).save("half.png")
    halved(Path("half.png"))
    for name in ("bomb.png", "half.png"):
        assert f"--image {name} is no picture that PIL can read" in fails("generate", "fox", *QUICK, "--image", name)
        assert f"--image {name} is no picture" in fails("video", "fox", *QUICK, "--image", name)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_clip_that_cannot_be_read_is_named(suffix, fails):
    frames = [Image.effect_noise((64, 64), 50).convert("RGB") for _ in range(3)]
    frames[0].save(f"half{suffix}", save_all=True, append_images=frames[1:])
    halved(Path(f"half{suffix}"))
    Path(f"text{suffix}").write_text("no picture")
    for name in (f"half{suffix}", f"text{suffix}"):
        assert f"--clip {name} has no frames that can be read" in fails("video", "fox", *QUICK, "--clip", name)


def test_a_folder_is_not_called_absent(fails):
    for command, option, name in (
        ("video", "--clip", "a.gif"),
        ("audio", "--sound", "a.wav"),
        ("generate", "--image", "a.png"),
    ):
        Path(name).mkdir(exist_ok=True)
        assert f"{name} is a folder; give a file" in fails(command, "dog", option, name)


@pytest.mark.parametrize(
    ("name", "fps", "range_told"),
    [
        ("a.gif", "60", "0.01 to 50"),
        ("a.gif", "0.001", "0.01 to 50"),
        ("a.webp", "1e-9", "1000"),
        ("a.mp4", "1e9", "1000"),
    ],
)
def test_a_rate_that_a_clips_file_cannot_hold_is_told_before_any_work(name, fps, range_told, fails):
    told = fails("video", "dog", *QUICK, "--fps", fps, "-o", name)
    assert f"--fps of a {name[1:]} must be from" in told and range_told in told
    assert list(Path().iterdir()) == []


WRONG = {
    "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
    "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "run `git lfs pull`"),
    "page.safetensors": (b"<!DOCTYPE html><html>not found</html>", "file but a web page: download the file itself"),
    "page.pth": (b"\n<html>not found</html>", "file but a web page: download the file itself"),
    "keys.pth": (b"junk" * 100, "is not a whole PyTorch file"),
    "zip.ckpt": (b"PK\x03\x04junk" * 100, "is not a whole PyTorch file"),
    "empty.pth": (b"", "is not a whole PyTorch file (EOFError)"),
    "empty.safetensors": (b"", "is not a whole safetensors file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_weights_is_told_apart(name, fails):
    content, message = WRONG[name]
    Path(name).write_bytes(content)
    for command in (["inspect", name], ["generate", "fox", "--model", name]):
        told = fails(*command)
        assert message in told and told.count(name) == 1, "named once"
    assert message in fails("generate", "fox", *QUICK, "--lora", name)


def test_weights_under_the_other_kinds_name_are_told_apart(fails):
    save_file({"a": torch.zeros(2)}, "a.pth")
    torch.save({"a": torch.zeros(2)}, "a.safetensors")
    assert "a.pth is a safetensors file under another name: rename it to end in .safetensors" in fails(
        "inspect", "a.pth"
    )
    assert "a.safetensors is a PyTorch file under another name: rename it" in fails("inspect", "a.safetensors")
    Path("half.safetensors").write_bytes(MODEL.read_bytes()[:5000])
    assert "is damaged or was not downloaded to the end" in fails("inspect", "half.safetensors")
