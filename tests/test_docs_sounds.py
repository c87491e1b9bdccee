"""The examples that docs/audio.md plays: all there, small, linked, and made by the tool that the page names."""

import runpy
from pathlib import Path

import pytest
from PIL import Image

from lumina_next.pipelines import Models, Sampling, read_sound
from lumina_next.tests.support.untrained_audio import write_spectra

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "audio.md").read_text("utf-8")
TOOL = runpy.run_path(str(DOCS / "sounds.py"))
EXAMPLES = {example.name: example for example in TOOL["EXAMPLES"]}


def test_the_page_plays_each_example_and_says_its_prompt():
    files = {file.stem: file for file in (DOCS / "sounds").iterdir()}
    assert files.keys() == EXAMPLES.keys() and all(f"(sounds/{file.name})" in PAGE for file in files.values())
    for name, example in EXAMPLES.items():
        assert example.request.prompt in PAGE and files[name].stat().st_size < 300_000
        length = example.request.seconds or (6.14 if example.music else 4.1)
        assert read_sound(files[name]).seconds == pytest.approx(length, abs=0.1)


def test_the_tool_makes_them(tmp_path):
    file = write_spectra(tmp_path / "untrained.safetensors")
    (tmp_path / "pictures").mkdir()
    fast = [
        TOOL["replace"](e, request=TOOL["replace"](e.request, sampling=Sampling(1, "uniform", cfg=1.0)))
        for e in EXAMPLES.values()
    ]
    chosen = tuple(example for example in fast if example.name in ("rain", "stretch", "flute"))
    made = TOOL["make"](chosen, Models(file), Models(file))
    assert list(made) == ["rain", "stretch", "flute"]
    TOOL["write"](made, tmp_path)
    assert {found.name for found in (tmp_path / "sounds").iterdir()} == {"rain.mp3", "stretch.mp3", "flute.mp3"}
    with Image.open(tmp_path / "pictures/audio.webp") as picture:
        assert picture.width > 900
