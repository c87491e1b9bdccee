"""Stage 1 of recognition, `python -m lumina_next.training.data.recognition.prepare`: emoji in several styles, drawn.

Downloads the sets with npm, and their names in all languages. The style HELD_OUT is for tests only.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..emoji import sources
from ..emoji.concepts import LANGUAGES
from ..emoji.pictures import render
from ..emoji.prepare import default_cache
from .styles import HELD_OUT, STYLES, Concept, concepts

SIZES = (64, 128, 256)
TEST_SIZE = 384  # the largest of the benchmark, drawn anew and not enlarged


def folder_of(cache: Path) -> Path:
    """Return where the drawings lie."""
    return cache / "recognition"


def labels(cache: Path, emoji: list[str]) -> dict[str, list[str]]:
    """Return the names of emoji by language, in CLDR's words; where a language has none, English stands in."""
    names = sources.names((sources.fetch("names", cache), sources.fetch("derived", cache)), LANGUAGES)
    told = {language: [names[e].get(language, names[e]["en"])[0] for e in emoji] for language in LANGUAGES}
    return told | {"emoji": emoji}


def draw(found: list[Concept], style: str, size: int) -> np.ndarray:
    """Return the drawings of concepts in a style as straight RGBA (N, size, size, 4), empty where it has none."""
    drawn = np.zeros((len(found), size, size, 4), np.uint8)
    for n, concept in enumerate(tqdm(found, desc=f"{style} {size} px")):
        if style in concept.svg:
            drawn[n] = fitted(render(concept.svg[style], size), size)
    return drawn


def fitted(picture: np.ndarray, size: int) -> np.ndarray:
    """Set a picture in the middle of an empty square, cut where it is larger."""
    out = np.zeros((size, size, 4), np.uint8)
    height, width = (min(n, size) for n in picture.shape[:2])
    top, left = (size - height) // 2, (size - width) // 2
    out[top : top + height, left : left + width] = picture[:height, :width]
    return out


def load(cache: Path) -> tuple[dict[str, list[str]], dict[str, list[int]]]:
    """Return the labels by language, and the classes that each style has. FileNotFoundError says what makes them."""
    file = folder_of(cache) / "labels.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is missing: python -m lumina_next.training.data.recognition.prepare --cache {cache}"
        )
    told = json.loads(file.read_text("utf-8"))
    return told["labels"], told["styles"]


def pictures(cache: Path, style: str, size: int) -> np.ndarray:
    """Return a style's drawings at a size, (N, size, size, 4), read as they are asked for."""
    return np.load(folder_of(cache) / f"{style}-{size}.npy", mmap_mode="r")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder to write to")
    options = parser.parse_args()
    found, folder = concepts(options.cache), folder_of(options.cache)
    folder.mkdir(parents=True, exist_ok=True)
    for style in STYLES:
        for size in (*SIZES, TEST_SIZE) if style == HELD_OUT else SIZES:
            np.save(folder / f"{style}-{size}.npy", draw(found, style, size))
    have = {style: [n for n, concept in enumerate(found) if style in concept.svg] for style in STYLES}
    told = {"labels": labels(options.cache, [concept.emoji for concept in found]), "styles": have}
    (folder / "labels.json").write_text(json.dumps(told, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
