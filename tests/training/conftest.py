"""Tiny prepared data and a tiny text encoder, made on the spot."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from lumina_next.tests import untrained_text_encoder
from lumina_next.training.concepts import LANGUAGES

COLOURS = {"red ball": (220, 30, 30), "blue ball": (30, 30, 220), "green ball": (30, 180, 30)}


def pytest_terminal_summary(terminalreporter):
    absent = [name for name in ("trimesh", "embreex") if find_spec(name) is None]
    if absent:
        line = f"MULTI-VIEW DATA NOT TESTED: to test it, pip install {' '.join(absent)}"
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder as training.prepare writes it, of three coloured squares."""
    folder = tmp_path_factory.mktemp("cache")
    emoji = ["🔴", "🔵", "🟢"]
    words = {
        e: {x: [f"{name} {x}", "ball", name.split()[0]] for x in LANGUAGES}
        for e, name in zip(emoji, COLOURS, strict=True)
    }
    table = {"languages": list(LANGUAGES), "emoji": emoji, "words": words, "held_out": [["🔴", "fr"]]}
    (folder / "concepts.json").write_text(json.dumps(table), "utf-8")
    rows = [["🎾", x, ["tennis ball", "sport"]] for x in LANGUAGES]
    rows += [[e, x, words[e][x]] for e in emoji for x in LANGUAGES if (e, x) != ("🔴", "fr")]
    rows += [[e, "nl", [f"{words[e]['en'][0]} nl"]] for e in emoji]
    (folder / "corpus.json").write_text(json.dumps(rows), "utf-8")
    for size in (32, 64, 96, 128):
        pictures = np.zeros((3, size, size, 4), np.uint8)
        for picture, colour in zip(pictures, COLOURS.values(), strict=True):
            picture[size // 4 : -size // 4, size // 4 : -size // 4] = (*colour, 255)
        np.save(folder / f"pictures-{size}.npy", pictures)
    return folder


@pytest.fixture(scope="session")
def text_encoder_folder(tmp_path_factory):
    """A folder with an untrained text encoder."""
    return untrained_text_encoder.write(tmp_path_factory.mktemp("text_encoder"))


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)
