"""Makes the examples of docs/audio.md with the models in the box: `python docs/sounds.py`.

Writes docs/sounds/*.mp3 and their spectrograms, docs/pictures/audio.webp.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lumina_next.pipelines import AudioRequest, Models, Sound, audio
from lumina_next.pipelines.audio import MUSIC, SOUNDS

HERE = Path(__file__).parent
WIDTH, HEIGHT, GAP, COLUMNS = 330, 110, 10, 3  # of a spectrogram, and between them
INK, PAPER = "#3b4252", "#ffffff"


@dataclass(frozen=True)
class Example:
    """A sound of the page: its file's name, what it is made of, and the name of the one that it starts from."""

    name: str
    request: AudioRequest
    start: str = ""
    music: bool = False


EXAMPLES = (
    Example("dog", AudioRequest("a dog bark", seed=1)),
    Example("bells", AudioRequest("a church bell", seed=1)),
    Example("violin", AudioRequest("a violin", seed=1)),
    Example("order", AudioRequest("<dog bark& start>@<church bell& end>", seed=2)),
    Example("piano", AudioRequest("a piano", seed=1)),
    Example("rain", AudioRequest("rain", seed=1)),
    Example("longer", AudioRequest("horse gallop", seconds=8.19, seed=1)),
    Example("variation", AudioRequest("a marimba", sound="given", denoise=0.8, seed=2), start="piano"),
    Example("stretch", AudioRequest("a dog bark", sound="given", stretch=(1.5, 2.6), seed=2), start="rain"),
    Example("flute", AudioRequest("a flute tune in D major, 120 bpm", seed=1), music=True),
    Example("church-organ", AudioRequest("a church organ tune in A minor, 80 bpm", seed=1), music=True),
    Example("music-box", AudioRequest("a music box tune in C major, 100 bpm", seed=1), music=True),
)


def make(examples: tuple[Example, ...], sounds: Models, music: Models) -> dict[str, Sound]:
    """Return the sounds of examples by name."""
    made: dict[str, Sound] = {}
    for example in examples:
        request = replace(example.request, sound=made[example.start]) if example.start else example.request
        made[example.name] = audio(request, music if example.music else sounds)
    return made


def sheet(made: dict[str, Sound]) -> Image.Image:
    """Return spectrograms in rows, each under its prompt."""
    rows = -(-len(made) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, rows * (HEIGHT + 3 * GAP)), PAPER)
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for n, (name, sound) in enumerate(made.items()):
        x, y = n % COLUMNS * (WIDTH + GAP), n // COLUMNS * (HEIGHT + 3 * GAP)
        pen.text((x, y + 2), f"{name}, {sound.seconds:.1f} s", INK, font)
        whole.paste(sound.picture().resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR), (x, y + 2 * GAP))
    return whole


def write(made: dict[str, Sound], folder: Path) -> None:
    """Write an MP3 of each sound, and the sheet."""
    (folder / "sounds").mkdir(exist_ok=True)
    for name, sound in made.items():
        sound.save(folder / "sounds" / f"{name}.mp3")
    sheet(made).save(folder / "pictures" / "audio.webp", quality=85, method=6)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    write(make(EXAMPLES, Models(SOUNDS), Models(MUSIC)), HERE)
