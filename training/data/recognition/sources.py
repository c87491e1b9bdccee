"""Where labelled pictures come from: the drawn emoji, or a folder with a folder of pictures for each label."""

import json
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import prepare
from .styles import HELD_OUT, STYLES

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


class EmojiSource:
    """Draws emoji of styles, which must not be the held-out one, and lays them somewhere on a plain canvas."""

    def __init__(self, cache: Path, styles: tuple[str, ...] = ()):
        self.labels, have = prepare.load(cache)
        self.styles = styles or tuple(style for style in STYLES if style != HELD_OUT)
        if HELD_OUT in self.styles:
            raise ValueError(f"{HELD_OUT} is the style of the test: train on others, of {', '.join(STYLES)}")
        count = len(next(iter(self.labels.values())))
        self.have = [[style for style in self.styles if n in set(have[style])] for n in range(count)]
        self.drawn = {
            (style, size): prepare.pictures(cache, style, size) for style in self.styles for size in prepare.SIZES
        }

    def __len__(self) -> int:
        return len(self.have)

    def draw(self, label: int, size: tuple[int, int], chance: random.Random) -> Image.Image:
        """Return a picture of a label, (height, width) pixels: turned, stretched, moved, mirrored, on a colour."""
        height, width = size
        style, side = chance.choice(self.have[label]), min(size) * chance.uniform(0.55, 1.1)
        stored = next((s for s in prepare.SIZES if s >= side), prepare.SIZES[-1])
        drawing = Image.fromarray(self.drawn[style, stored][label])
        angle, stretch = chance.gauss(0, 0.12), np.exp(chance.gauss(0, 0.08))
        across, down = stored / side * stretch, stored / side / stretch
        across = -across if chance.random() < 0.3 else across
        cos, sin = np.cos(angle), np.sin(angle)
        room = [max(abs(n - side) / 2, 0.08 * side) for n in (width, height)]
        x, y = (n / 2 + r * chance.uniform(-0.9, 0.9) for n, r in zip((width, height), room, strict=True))
        matrix = np.array([[across * cos, across * sin], [-down * sin, down * cos]])
        shift = stored / 2 - matrix @ np.array([x, y])
        coefficients = (*matrix[0], shift[0], *matrix[1], shift[1])
        laid = drawing.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        whole = Image.new("RGBA", (width, height), colour(chance))
        whole.alpha_composite(laid)
        return whole.convert("RGB")


def colour(chance: random.Random) -> tuple[int, int, int]:
    """Return a background: white as often as not, else any colour, mostly light."""
    if chance.random() < 0.4:
        return 255, 255, 255
    light = chance.choice((0.0, 0.5, 0.75))
    return tuple(round(255 * (light + (1 - light) * chance.random())) for _ in range(3))  # type: ignore[return-value]


class FolderSource:
    """Draws pictures of a folder that has a folder for each label, cut and resized to what is asked for.

    A file labels.json beside them may name the folders in languages: {"en": {"cats": "cat"}, …}. Every tenth picture
    is kept for the test. Raises ValueError unless there are two labels or more with pictures.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise ValueError(f"the folder {folder} does not exist")
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        files = {name: pictures_in(folder / name) for name in names}
        kept = {name: found for name, found in files.items() if found}
        if len(kept) < 2:
            raise ValueError(
                f"{folder} has pictures for {len(kept)} labels; expected a folder of pictures for each of two or more "
                f"({', '.join(sorted(ENDINGS))})"
            )
        self.names = list(kept)
        self.files = [[file for n, file in enumerate(found) if n % 10 != 9] for found in kept.values()]
        self.tested = [found[9::10] for found in kept.values()]
        self.labels = {"en": self.names}
        table = folder / "labels.json"
        if table.is_file():
            told = json.loads(table.read_text("utf-8"))
            self.labels = {language: [words.get(n, n) for n in self.names] for language, words in told.items()}

    def __len__(self) -> int:
        return len(self.files)

    def draw(self, label: int, size: tuple[int, int], chance: random.Random) -> Image.Image:
        """Return a part of a picture of a label, (height, width) pixels, at least half of it, sometimes mirrored."""
        with Image.open(chance.choice(self.files[label])) as image:
            picture = image.convert("RGB")
        share, shape = chance.uniform(0.5, 1.0) ** 0.5, np.exp(chance.gauss(0, 0.1)) * size[1] / size[0]
        wide = min(1.0, shape * picture.height / picture.width)
        width, height = share * wide * picture.width, share * wide * picture.width / shape
        width, height = min(width, picture.width), min(height, picture.height)
        left, top = chance.uniform(0, picture.width - width), chance.uniform(0, picture.height - height)
        cut = picture.resize(size[::-1], Image.Resampling.BICUBIC, (left, top, left + width, top + height))
        return ImageOps.mirror(cut) if chance.random() < 0.5 else cut


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder and those below it, in order."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
