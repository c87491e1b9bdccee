"""What `lumina-next generate` says before it works, and what it does not write over."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from lumina_next.cli import main
from lumina_next.cli.jobs import Job
from lumina_next.pipelines import Picture
from lumina_next.tests.cli.test_generate import QUICK, generate

REMARKS = {
    "--second-pass does nothing up to the training size": (
        ["--second-pass", "0.5", "--width", "32"],
        ["--second-pass", "0.5", "--width", "80"],
    ),
    "--rope does nothing up to the training size": (
        ["--rope", "interpolation"],
        ["--rope", "interpolation", "--width", "80"],
    ),
    "--negative does nothing at --cfg 1, which is no guidance": (
        ["--negative", "hen", "--cfg", "1"],
        ["--negative", "hen"],
    ),
    "--channels does nothing at --cfg 1, which is no guidance": (
        ["--channels", "2", "--cfg", "1"],
        ["--channels", "2"],
    ),
    "62×40 is no multiple of 4 pixels: drawn as 64×40 and cut": (
        ["--width", "62", "--height", "40"],
        ["--width", "60", "--height", "40"],
    ),
    "264×264 is far above the 64×64 of training: expect it slow, and things twice": (
        ["--width", "264", "--height", "264"],
        ["--width", "256", "--height", "256"],
    ),
}


@pytest.mark.parametrize("said", REMARKS)
def test_what_is_asked_in_vain_is_told(said, capsys, monkeypatch):
    monkeypatch.setattr(Job, "paint", lambda *_: [Picture.of(torch.zeros(3, 4, 4), {})])
    in_vain, with_effect = REMARKS[said]
    generate("fox", *in_vain)
    assert capsys.readouterr().err == f"lumina-next: {said}\n"
    generate("fox", *with_effect)
    assert capsys.readouterr().err == ""


def test_no_picture_is_written_over_unless_asked_for(capsys, fails, monkeypatch):
    made = iter(range(1, 100))
    monkeypatch.setattr(
        Job, "paint", lambda job, *_: [Picture.of(torch.zeros(3, 4, 4), {"n": next(made)}) for _ in job.request.seeds]
    )
    for expected in ("lumina-next.png", "lumina-next-0002.png", "lumina-next-0003.png"):
        generate("fox")
        assert capsys.readouterr().out == f"{expected}\n"
    generate("fox", "--batch", "2", "--seed", "2")
    assert capsys.readouterr().out == "lumina-next-2.png\nlumina-next-3.png\n"
    generate("fox", "--batch", "2", "--seed", "3")
    assert capsys.readouterr().out == "lumina-next-0002-3.png\nlumina-next-0002-4.png\n"
    Path("fox.png").write_bytes(b"mine")
    told = "fox.png is there already; add --overwrite, or give --output another name"
    assert told in fails("generate", "fox", "-o", "fox.png", *QUICK)
    assert Path("fox.png").read_bytes() == b"mine"
    generate("fox", "-o", "fox.png", "--overwrite")
    generate("fox", "--overwrite")
    assert [json.loads(Image.open(f).text["parameters"])["n"] for f in ("fox.png", "lumina-next.png")] == [8, 9]


OTHERS = {
    "points": (["points", "--label", "mug", "--steps", "1", "--count", "8"], "a.ply", ["--negative", "x", "--no-fit"]),
    "class": (["class", "fox", "--steps", "1"], "a.png", ["--cfg", "1", "--channels", "2", "--rope", "yarn"]),
    "video": (["video", "dog", "--steps", "1", "--frames", "1"], "a.gif", ["--negative", "x", "--cfg", "1"]),
    "audio": (["audio", "rain", "--steps", "1", "--seconds", "1"], "a.wav", ["--negative", "x", "--cfg", "1"]),
}


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_tell_it_too(command, capsys):
    arguments, output, in_vain = OTHERS[command]
    for more, told in (([], False), (in_vain, True)):
        assert main([*arguments, *more, "-o", output, "--overwrite"]) == 0
        said = capsys.readouterr().err
        for option in more:
            if option.startswith("--") and option != "--cfg":
                assert f"lumina-next: {option} does nothing" in said
        assert ("does nothing" in said) == told
