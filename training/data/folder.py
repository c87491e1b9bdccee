"""Batches of a folder of captioned images, for fine-tuning: each image beside a .txt file of the same name."""

import random
from pathlib import Path

import numpy as np
from PIL import Image

from ...nextdit.text_files import read_text
from .batches import EMPTY, Batch
from .emoji.pictures import to_tensor

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


class FolderBatches:
    """Draws batches from image + .txt pairs, each image resized and cropped to the size nearest to its shape.

    `sizes` are (height, width) in pixels. Raises ValueError on a folder without pairs or an image without caption.
    """

    def __init__(self, folder: Path, sizes: tuple[tuple[int, int], ...], tokens: int, patch: int, seed: int = 0):
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
        if not files:
            raise ValueError(f"{folder} holds no image ({', '.join(sorted(ENDINGS))}), expected images with captions")
        bare = [str(file.relative_to(folder)) for file in files if not file.with_suffix(".txt").is_file()]
        if bare:
            raise ValueError(f"no .txt caption of the same name beside {', '.join(bare[:10])} in {folder}: write them")
        self.sizes: dict[tuple[int, int], list[tuple[Path, str]]] = {}
        for file in files:
            with Image.open(file) as image:
                shape = image.height / image.width
            size = min(sizes, key=lambda s: abs(np.log(shape * s[1] / s[0])))
            caption = read_text(file.with_suffix(".txt")).strip(" \t\n")
            self.sizes.setdefault(size, []).append((file, caption))
        self.tokens, self.patch, self.seed = tokens, patch, seed

    def draw(self, step: int, spent: float) -> Batch:
        """Return the batch of a step; a size comes as often as images fit it best."""
        del spent
        chance = random.Random(f"{self.seed} {step}")
        size = chance.choices(list(self.sizes), [len(items) for items in self.sizes.values()])[0]
        count = max(1, round(self.tokens / (size[0] * size[1] / self.patch**2)))
        items = chance.choices(self.sizes[size], k=count)
        prompts = ["" if chance.random() < EMPTY else caption for _, caption in items]
        return Batch(to_tensor([fitted(file, size) for file, _ in items]), prompts, None)


def fitted(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Return an image as RGB uint8, resized to cover (height, width) and cropped in the middle."""
    height, width = size
    with Image.open(file) as image:
        picture = image.convert("RGB")
    scale = max(height / picture.height, width / picture.width)
    covered = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    picture = picture.resize(covered, Image.Resampling.LANCZOS)
    left, top = (covered[0] - width) // 2, (covered[1] - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))
