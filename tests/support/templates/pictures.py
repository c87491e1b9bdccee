"""The template browser's pictures: square, what the workflow makes."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lumina_next.tests.support.comfy_client import ComfyClient

from .spec import Template

SIDE = 512
PAPER, INK = "#ffffff", "#3b4252"
GAP = 4
LINE = "#d8dee9"  # between the frames of a clip
TONES = ("#d8dee9", "#88c0d0")  # of the sizes on a card, from the largest
BARS = 40  # of a sound
SAVERS = {"SaveImage", "SaveVideo", "SaveAudioAdvanced"}
SECONDS = 900  # a grid of larger pictures takes minutes on a CPU


def draw(client: ComfyClient, template: Template, prompt: dict) -> Image.Image:
    """The picture or the frames that a workflow saves, or a card with its sizes where the weights are not here."""
    if template.card:
        return card(template.card.split())
    run = client.run(prompt, seconds=SECONDS)
    if clips := client.clips(run):
        return square(sheet(clips[-1]))
    if sounds := [*client.sounds(run, "temp"), *client.sounds(run)]:
        return spectrograms([sound.picture() for sound in sounds])
    (*_, saver) = (node for node, content in prompt.items() if content["class_type"] == "SaveImage")
    files = [(node, image) for node, output in run.outputs.items() for image in output.get("images", [])]
    kept = [node for node, image in files if image["type"] == "output"]
    return square(in_two_rows(Image.fromarray(client.images(run)[kept.index(saver)])))


def in_two_rows(picture: Image.Image) -> Image.Image:
    """A row of four squares as two rows of two; any other picture as it is."""
    if picture.width != 4 * picture.height:
        return picture
    side = picture.height
    folded = Image.new("RGB", (2 * side, 2 * side))
    for row in (0, 1):
        folded.paste(picture.crop((2 * side * row, 0, 2 * side * (row + 1), side)), (0, side * row))
    return folded


def spectrograms(pictures: list[Image.Image]) -> Image.Image:
    """Spectrograms one above the other, together a square."""
    whole, height = Image.new("RGB", (SIDE, SIDE), LINE), (SIDE + GAP) // len(pictures)
    for i, picture in enumerate(pictures):
        whole.paste(picture.resize((SIDE, height - GAP), Image.Resampling.BILINEAR), (0, i * height))
    return whole


def sheet(frames: np.ndarray) -> Image.Image:
    """The frames of a clip (F, H, W, 3) in rows, as near to a square as they go without a hole."""
    count, height, width, _ = frames.shape
    columns = min((n for n in range(1, count + 1) if count % n == 0), key=lambda n: abs(n * n * width - count * height))
    rows = count // columns
    whole = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), LINE)
    for i, frame in enumerate(frames):
        whole.paste(Image.fromarray(frame), (i % columns * (width + GAP), i // columns * (height + GAP)))
    return whole


def square(picture: Image.Image) -> Image.Image:
    """The whole of a picture in the middle of a square, on the colour of its corner."""
    scale = SIDE / max(picture.size)
    picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in np.asarray(picture)[2, 2]))
    ground.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return ground


def card(words: list[str]) -> Image.Image:
    """Squares in the proportion of the sizes among the words, the largest as wide as the card, the rest below.

    Without sizes a sound is drawn.
    """
    sizes = sorted((int(word) for word in words if word.isdigit()), reverse=True)
    picture, edge = Image.new("RGB", (SIDE, SIDE), PAPER), SIDE / 20
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=34)
    for size, tone in zip(sizes, TONES, strict=False):
        top = SIDE - edge - (SIDE - 2 * edge) * size / sizes[0]
        pen.rectangle((edge, top, edge + SIDE - edge - top, SIDE - edge), fill=tone, outline=INK)
        pen.text((edge + 14, top + 12), f"{size} px", fill=INK, font=font)
    for i in range(0 if sizes else BARS):
        place, height = (i + 0.5) / BARS, abs(math.sin(i * 2.4)) * math.sin(math.pi * (i + 0.5) / BARS) * SIDE / 3
        pen.line([(SIDE * place, SIDE / 2 - height - 4), (SIDE * place, SIDE / 2 + height + 4)], fill=TONES[1], width=7)
    rest = " ".join(word for word in words if not word.isdigit())
    pen.text((edge + 14, SIDE - edge - 52), rest, fill=INK, font=font)
    return picture
