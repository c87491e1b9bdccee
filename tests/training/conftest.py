"""Tiny prepared data and a tiny text encoder, made on the spot."""

import json

import numpy as np
import pytest
import torch

from lumina_next.tests.support import untrained_text_encoder
from lumina_next.training.data.emoji.concepts import LANGUAGES

COLOURS = {"red ball": (220, 30, 30), "blue ball": (30, 30, 220), "green ball": (30, 180, 30)}


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder as training.data.emoji.prepare writes it, of three coloured squares."""
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
def views_cache(tmp_path_factory):
    """A folder as training.data.objects.views writes it: posts with a mark that moves around them with the azimuth."""
    folder = tmp_path_factory.mktemp("views")
    rng = np.random.default_rng(0)

    def draw(colour, azimuth):
        picture = np.full((64, 64, 3), 255, np.uint8)
        picture[16:60, 28:36] = 90
        left = int(32 + 20 * np.sin(np.deg2rad(azimuth)))
        if np.cos(np.deg2rad(azimuth)) > 0 or not 24 <= left < 36:
            picture[30:42, left - 4 : left + 4] = colour
        return picture

    def write(prefix, azimuths, images):
        colours = [list(COLOURS.values())[i % 3] for i in range(len(azimuths))]
        names = [list(COLOURS)[i % 3] for i in range(len(azimuths))]
        views = [[draw(c, a) for a in row] for c, row in zip(colours, azimuths, strict=True)]
        np.save(folder / f"{prefix}views-64.npy", np.array(views))
        shown = np.array(views)[:, :1].repeat(images, 1) if prefix else np.array(views)[:, :images]
        np.save(folder / f"{prefix}images-64.npy", shown)
        objects = [{"family": "post", "caption": f"a {name}", "seed": i} for i, name in enumerate(names)]
        (folder / f"{prefix}objects.json").write_text(json.dumps(objects), "utf-8")

    azimuths = rng.uniform(0, 360, (6, 8)).astype(np.float32)
    np.save(folder / "azimuths.npy", azimuths)
    write("", azimuths, 4)
    write("test-", np.tile(np.arange(0, 360, 15), (3, 1)), 2)
    return folder


@pytest.fixture(scope="session")
def text_encoder_folder(tmp_path_factory):
    """A folder with an untrained text encoder."""
    return untrained_text_encoder.write(tmp_path_factory.mktemp("text_encoder"))


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)
