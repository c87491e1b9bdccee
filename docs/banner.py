"""Draws docs/banner.webp and docs/icon.png with the models in the box: `python docs/banner.py`."""

import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lumina_next.demo import FOLDER, MULTIVIEW_MODEL
from lumina_next.pipelines import Models, Sampling, TextToImage, ViewsRequest, text_to_images, views

HERE = Path(__file__).parent
TILE, COLUMNS, ROWS = 96, 14, 6  # 21:9, as the Registry wants it
COLOURS = ("", "", "", " on a blue background", "", " on a yellow background")


def tiles() -> list[Image.Image]:
    """Return the pictures of all emoji and four views of a chair, TILE pixels a side."""
    words = json.loads((FOLDER / "concepts.json").read_text("utf-8"))["words"]
    names = [words[emoji]["en"][0] for emoji in words]
    models, pictures = Models(), []
    for number, name in enumerate(names):
        request = TextToImage(name + COLOURS[number % len(COLOURS)], seeds=(number,), sampling=Sampling(16))
        pictures += text_to_images(request, models)
    pictures += views(ViewsRequest("a red chair", azimuths=(0, 45, 90, 135), seed=1), Models(MULTIVIEW_MODEL))
    return [picture.resize((TILE, TILE), Image.Resampling.LANCZOS) for picture in pictures]


def banner(pictures: list[Image.Image]) -> Image.Image:
    """Return the tiles in rows around the pack's name."""
    sheet = Image.new("RGB", (TILE * COLUMNS, TILE * ROWS), "white")
    name = (3 * TILE, 2 * TILE, 11 * TILE, 4 * TILE)
    places = [(TILE * (n % COLUMNS), TILE * (n // COLUMNS)) for n in range(COLUMNS * ROWS)]
    free = [at for at in places if not (name[0] <= at[0] < name[2] and name[1] <= at[1] < name[3])]
    for picture, at in zip(pictures, free, strict=True):
        sheet.paste(picture, at)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle(name, fill="#1d2433")
    middle = ((name[0] + name[2]) // 2, (name[1] + name[3]) // 2)
    draw.text((middle[0], middle[1] - 22), "Lumina-Next", "white", ImageFont.load_default(76), anchor="mm")
    draw.text((middle[0], middle[1] + 48), "for ComfyUI", "#ffb35c", ImageFont.load_default(40), anchor="mm")
    return sheet


def icon() -> Image.Image:
    """Return a fox of twice the training size, 384 pixels a side."""
    fox = text_to_images(TextToImage("fox", width=128, height=128, second_pass=0.3, seeds=(7,)))[0]
    return fox.resize((384, 384), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    icon().save(HERE / "icon.png")
    banner(tiles()).save(HERE / "banner.webp", quality=88)
