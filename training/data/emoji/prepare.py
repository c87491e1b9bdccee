"""Stage 1, `python -m lumina_next.training.data.emoji.prepare`: download, draw and sort the data."""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import sources
from .concepts import EMOJI, LANGUAGES, RELATED
from .pictures import render

SIZES = (32, 64, 96, 128, 256)
HELD_OUT = 0.1


def default_cache() -> Path:
    """Return the folder outside the checkout that keeps downloads, drawings and training states."""
    return Path.home() / ".cache" / "lumina-next-training"


def is_held_out(emoji: str, language: str) -> bool:
    """Tell whether training must never see this concept in this language; never English. Depends on nothing else."""
    digest = hashlib.sha256(f"{emoji} {language}".encode()).digest()
    return language != "en" and int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT


def concept_table(names: dict[str, dict[str, list[str]]], emoji: tuple[str, ...]) -> dict:
    """Return what demo/concepts.json holds: the emoji, their words in each language, the held-out pairs."""
    return {
        "languages": list(LANGUAGES),
        "emoji": list(emoji),
        "words": {e: {language: names[e][language] for language in LANGUAGES} for e in emoji},
        "held_out": [[e, language] for e in emoji for language in LANGUAGES if is_held_out(e, language)],
    }


def corpus(names: dict[str, dict[str, list[str]]], table: dict) -> list[tuple[str, str, list[str]]]:
    """Return (emoji, language, words) of every emoji that CLDR names, for the text encoder, without held-out pairs.

    A held-out concept is in no row of its language; its name may still be a keyword of another emoji there.
    """
    held = {tuple(pair) for pair in table["held_out"]}
    rows = []
    for e in sorted(names):
        for language in (*LANGUAGES, *RELATED):
            words = names[e].get(language, [])
            if words and (e, language) not in held:
                rows.append((e, language, words))
    return rows


def prepare(cache: Path, emoji: tuple[str, ...] = EMOJI, sizes: tuple[int, ...] = SIZES) -> None:
    """Write concepts.json, corpus.json, svg.json and pictures-<size>.npy (N, size, size, 4) into `cache`.

    `emoji` ("all",) are those that have a picture, and a name in every language.
    """
    svg = sources.pictures(sources.fetch("pictures", cache))
    folders = sources.fetch("names", cache), sources.fetch("derived", cache)
    names = sources.names(folders, (*LANGUAGES, *RELATED))
    names = {e: words for e, words in names.items() if e in svg and set(LANGUAGES) <= set(words)}
    emoji = tuple(sorted(names)) if emoji == ("all",) else emoji
    absent = [e for e in emoji if e not in names]
    if absent:
        raise ValueError(f"no picture, or not a name in every language, for {' '.join(absent)}: choose other emoji")
    table = concept_table(names, emoji)
    for name, content in (
        ("concepts.json", table),
        ("corpus.json", corpus(names, table)),
        ("svg.json", {e: svg[e] for e in emoji}),
    ):
        (cache / name).write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    for size in sizes:
        drawn = [render(svg[e], size) for e in tqdm(emoji, desc=f"{size} px", unit="picture")]
        np.save(cache / f"pictures-{size}.npy", np.stack(drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where data and states are kept")
    parser.add_argument(
        "--emoji", nargs="+", default=EMOJI, help="the concepts, or all (default: the 64 of concepts.py)"
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="of the drawings, in pixels")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    prepare(arguments.cache, tuple(arguments.emoji), tuple(arguments.sizes))


if __name__ == "__main__":
    main()
