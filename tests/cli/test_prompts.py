"""`lumina-next generate --prompts`: every line's picture, once, whatever stops it."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from PIL import Image

from lumina_next.cli import main
from lumina_next.cli.jobs import Job
from lumina_next.cli.prompts import read_jobs
from lumina_next.pipelines import Picture

QUICK = ("--steps", "2", "--device", "cpu", "--cfg", "1", "--dtype", "fp32")
LINES = 'a fox\n\n{"prompt": "猫 🐈", "seed": 7, "out": "animals/cat.png", "width": 48, "height": 32}\n'


def parameters(file: Path) -> dict:
    with Image.open(file) as image:
        return json.loads(image.text["parameters"])


def test_every_line_is_the_picture_of_its_own_command(capsys):
    Path("prompts.txt").write_text(LINES, "utf-8")
    assert main(["generate", "--prompts", "prompts.txt", "--seed", "3", *QUICK]) == 0
    fox, cat = Path("lumina-next/0001.png"), Path("lumina-next/animals/cat.png")
    assert capsys.readouterr().out.split() == [str(fox), str(cat)]
    assert main(["generate", "a fox", "--seed", "3", *QUICK, "-o", "fox.png"]) == 0
    assert main(["generate", "猫 🐈", "--seed", "7", "--width", "48", "--height", "32", *QUICK, "-o", "cat.png"]) == 0
    assert fox.read_bytes() == Path("fox.png").read_bytes()  # the parameters in it are the same, too
    assert cat.read_bytes() == Path("cat.png").read_bytes()


def test_a_stopped_run_goes_on_where_it_was(monkeypatch, capsys):
    Path("prompts.txt").write_text("one\ntwo\nthree\n", "utf-8")
    painted = []

    def paint(job, models, progress=None):
        if len(painted) == 1 and not Path("stopped").exists():
            Path("stopped").touch()
            raise KeyboardInterrupt
        painted.append(job.request.prompt)
        return [Picture.of(torch.zeros(3, 4, 4), {"prompt": job.request.prompt})]

    monkeypatch.setattr(Job, "paint", paint)
    command = ["generate", "--prompts", "prompts.txt", *QUICK, "-o", "all"]
    assert main(command) == 130
    assert [file.name for file in Path("all").iterdir()] == ["0001.png"]
    assert main(command) == 0
    assert painted == ["one", "two", "three"]
    assert sorted(file.name for file in Path("all").iterdir()) == ["0001.png", "0002.png", "0003.png"]
    assert parameters(Path("all/0003.png"))["prompt"] == "three"
    capsys.readouterr()
    assert main(command) == 0 and painted == ["one", "two", "three"]
    said = "lumina-next: 3 of 3 pictures are there already: skipped; --overwrite makes them again\n"
    assert capsys.readouterr() == ("", said)
    assert main([*command, "--overwrite"]) == 0 and painted == ["one", "two", "three"] * 2


def test_remarks_are_not_painted_and_pictures_are_counted(capsys):
    Path("prompts.txt").write_text("# my foxes\nfox\n  # and\n\nhen\n", "utf-8")
    command = ["generate", "--prompts", "prompts.txt", *QUICK]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(Path("lumina-next") / name) for name in ("0002.png", "0005.png")]
    assert "1 of 2: 100%" in said.err and "2 of 2: 100%" in said.err
    Path("lumina-next/0002.png").unlink()
    assert main(command) == 0 and "1 of 2: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("\n", "has no prompt in it"),
        ('{"prompt": }', "line 1 starts with { but is no JSON object"),
        ('fox\n{"seed": 1}', "line 2 has no prompt"),
        ('{"prompt": "fox", "colour": 1}', "line 1: unknown colour; known: prompt, negative, seed"),
        ('{"prompt": "fox", "seed": "1"}', "line 1: seed must be a whole number, got '1'"),
        ('{"prompt": "fox", "width": 0}', "line 1: --width must be at least 1, got 0"),
        ('fox\n{"prompt": "hen", "seed": -1}', "line 2: --seed must be between 0 and"),
        ('fox\n{"prompt": "hen", "seed": ' + "9" * 5000 + "}", "line 2 starts with { but is no JSON object"),
        ('{"prompt": ' + "[" * 100_000, "line 1 starts with { but is no JSON object"),
        ('fox\n{"prompt": "hen", "out": ""}', "line 2: out must end in .png"),
        ('{"prompt": "fox", "out": "a\\u0000.png"}', "line 1: out must stay within the folder of --output"),
        (
            '{"prompt": "fox", "out": "a.png"}\n{"prompt": "hen", "out": "a.png/b.png"}',
            "a.png is a folder of another line's",
        ),
        ('{"prompt": "fox", "out": "a.png"}\n{"prompt": "hen", "out": "A.png"}', "is the picture of line 1 already"),
        ('{"prompt": "fox", "out": "../a.png"}', "out must stay within the folder of --output"),
        ('{"prompt": "fox", "out": "a.jpg"}', "out must end in .png"),
    ],
)
def test_a_wrong_line_is_named_before_anything_is_made(lines, message, fails):
    Path("prompts.txt").write_text(lines, "utf-8")
    assert message in fails("generate", "--prompts", "prompts.txt", *QUICK)
    assert [file.name for file in Path().iterdir()] == ["prompts.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a prompt, or --prompts FILE, and not both"),
        (["fox", "--prompts", "prompts.txt"], "give a prompt, or --prompts FILE, and not both"),
        (["--prompts", "gone.txt"], "gone.txt"),
        (["--prompts", "prompts.txt", "--batch", "2"], "--batch goes with one prompt"),
        (["fox", "--ray"], "--ray goes with --prompts"),
        (["fox", "--workers", "2"], "--workers goes with --ray"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, fails):
    Path("prompts.txt").write_text("fox\n", "utf-8")
    if "--ray" in arguments:  # it takes the next word for an address
        arguments = [*arguments, "local"]
    assert message in fails("generate", *arguments, *QUICK)


ODD = "fox\u2028in\u2029the\x85snow\x0b\x0c\x1cat\x1d\x1enight"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_from_any_editor_asks_for_the_same_pictures(mark, end):
    lines = ['{"prompt": "fox", "seed": 7}', "  apple\t", "", ODD, '{"prompt": "a\u2028b\u2029c\x85d"}']
    Path("prompts.txt").write_bytes(mark + end.join([*lines, ""]).encode())
    jobs = read_jobs(Namespace(prompts=Path("prompts.txt"), output=Path("all"), seed=0))
    assert [(job.prompt, job.seed) for job in jobs] == [
        ("fox", 7),
        ("apple", 0),
        (ODD, 0),
        ("a\u2028b\u2029c\x85d", 0),
    ]
    assert [job.output.name for job in jobs] == ["0001.png", "0002.png", "0004.png", "0005.png"]


def test_a_resumed_run_knows_lines_with_odd_characters(monkeypatch):
    Path("prompts.txt").write_text(f"{ODD}\n\u2028two\u2028\nthree\n", "utf-8")
    painted = []

    def paint(job, models, progress=None):
        if job.request.prompt == "three" and not Path("stopped").exists():
            Path("stopped").touch()
            raise KeyboardInterrupt
        painted.append(job.request.prompt)
        return [Picture.of(torch.zeros(3, 4, 4), {"prompt": job.request.prompt})]

    monkeypatch.setattr(Job, "paint", paint)
    command = ["generate", "--prompts", "prompts.txt", *QUICK, "-o", "all"]
    assert main(command) == 130 and main(command) == 0
    assert painted == [ODD, "\u2028two\u2028", "three"]
    assert parameters(Path("all/0002.png"))["prompt"] == "\u2028two\u2028"
    assert sorted(file.name for file in Path("all").iterdir()) == ["0001.png", "0002.png", "0003.png"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "latin-1"])
def test_a_file_in_another_encoding_is_named(encoding, fails):
    Path("prompts.txt").write_bytes("naïve fox\n".encode(encoding))
    told = fails("generate", "--prompts", "prompts.txt", *QUICK)
    assert "prompts.txt is in " in told and "save it with the encoding UTF-8" in told


def test_names_sort_as_lines_do():
    Path("many.txt").write_text("fox\n" * 10001, "utf-8")
    jobs = read_jobs(Namespace(prompts=Path("many.txt"), output=Path("all")))
    assert [jobs[0].output.name, jobs[-1].output.name] == ["00001.png", "10001.png"]


def test_a_file_that_is_none_is_named(fails):
    assert "--prompts gone.txt does not exist" in fails("generate", "--prompts", "gone.txt")
    assert "--prompts . is a folder; give a file with a prompt a line" in fails("generate", "--prompts", ".")


def test_an_output_that_is_a_file_is_named(fails):
    Path("prompts.txt").write_text("fox")
    told = fails("generate", "--prompts", "prompts.txt", "-o", "prompts.txt")
    assert "prompts.txt is a file; with --prompts, --output is the folder for the pictures" in told
