"""From options to requests, and from pictures to files."""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..options import file_of, named_values

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from PIL import Image

    from ..nextdit import ContextDrop, RopeScaling
    from ..pipelines import Models, Picture, Progress, TextToImage

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
AS_TYPED = ("schedule", "rope", "context_drop", "dtype")


FLAGS = {"seeds": "--batch", "loras": "--lora", "compiled": "--compile", "labels": "CLASS"}
ROPE = "auto"
MOST_AT_ONCE = 10_000


def flag(name: str) -> str:
    """Return how an option of a request or of its models is called on the command line."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def picture_files(file: Path, seeds: Sequence[int]) -> list[Path]:
    """Return the files of a picture of each seed: as given, or with the seed appended when there are several."""
    return [file] if len(seeds) == 1 else [file.with_name(f"{file.stem}-{seed}{file.suffix}") for seed in seeds]


def numbered(file: Path, seeds: Sequence[int]) -> Path:
    """Return a file's name, or the first of its numbered ones of which no picture is there."""
    names = itertools.chain([file], (file.with_name(f"{file.stem}-{n:04}{file.suffix}") for n in itertools.count(2)))
    return next(name for name in names if not any(one.exists() for one in picture_files(name, seeds)))


@dataclass(frozen=True)
class Job:
    """Pictures to make, the file they go to, and the parameters to be told as the user typed them."""

    request: "TextToImage"
    output: Path
    typed: dict[str, str | None]

    @classmethod
    def of(cls, options: argparse.Namespace, models: "Models") -> "Job":
        """Return what options ask for. Raises ValueError on what cannot work."""
        typed = {name: getattr(options, name) for name in AS_TYPED}
        typed["rope"] = ROPE if typed["rope"] is None else typed["rope"]
        if options.image is not None:
            typed["image"] = options.image.name
        return cls(request_of(options).resolved(models), options.output, typed)

    def has_two_passes(self, models: "Models") -> bool:
        """Whether the pictures are made in two passes."""
        from ..pipelines.text_to_image import passes

        return len(passes(self.request, models)) > 1

    @property
    def factor(self) -> float:
        """How many times as large the pictures are a side as the largest square of training."""
        assert self.request.width and self.request.height and self.request.train_size
        return (self.request.width * self.request.height) ** 0.5 / self.request.train_size

    @property
    def files(self) -> list[Path]:
        """The pictures' files."""
        return picture_files(self.output, self.request.seeds)

    def paint(self, models: "Models", progress: "Progress | None" = None) -> "list[Picture]":
        """Return the pictures. Raises what `text_to_images` does."""
        from ..pipelines import text_to_images

        pictures = text_to_images(self.request, models, progress)
        for picture in pictures:
            picture.info["parameters"] = json.dumps({**picture.parameters, **self.typed})
        return pictures

    def write(self, pictures: "Sequence[Picture]", out: TextIO | None = None) -> None:
        """Write the pictures and print their files to `out`, by default the standard output."""
        for picture, file in zip(pictures, self.files, strict=True):
            picture.save(file)
            print(file, file=out, flush=True)


def models_of(options: argparse.Namespace, keep: bool = True, by_rows: bool = False) -> "Models":
    """Return the models that options name."""
    import torch

    from ..pipelines import Models

    dtype = getattr(torch, DTYPES[options.dtype]) if options.dtype else None
    return Models(
        options.model,
        options.text_encoder,
        options.vae,
        dtype=dtype,
        device=options.device,
        loras=[lora(text) for text in options.lora],
        keep=keep,
        by_rows=by_rows,
        compiled=options.compile,
    )


def lora(text: str) -> tuple[Path, float]:
    """Return the file and the strength of `--lora FILE,STRENGTH`; without one it is 1."""
    file, _, strength = text.rpartition(",")
    try:
        return Path(file or strength), float(strength) if file else 1.0
    except ValueError:
        return Path(text), 1.0


def request_of(options: argparse.Namespace) -> "TextToImage":
    """Return the request that options describe. Raises ValueError on what is out of range."""
    from ..pipelines import Sampling, TextToImage

    schedule, values = named_values("--schedule", options.schedule)
    return TextToImage(
        options.prompt,
        options.negative,
        options.width,
        options.height,
        seeds_of(options),
        Sampling(options.steps, schedule, values, options.method, options.cfg, options.channels),
        scaling(ROPE if options.rope is None else options.rope),
        None if options.context_drop is None else context_drop(options.context_drop),
        options.second_pass,
        None if options.image is None else read_image(options.image),
        options.denoise,
        train_size=options.train_size,
    )


def seeds_of(options: argparse.Namespace) -> tuple[int, ...]:
    """Return the seeds of `--seed` and `--batch`. Raises ValueError."""
    if options.batch < 1:
        raise ValueError(f"--batch must be at least 1, got {options.batch}")
    if options.batch > MOST_AT_ONCE:
        raise ValueError(f"--batch must be at most {MOST_AT_ONCE}, got {options.batch}: use several commands")
    return tuple(range(options.seed, options.seed + options.batch))


def read_image(file: Path, name: str = "image") -> "Image.Image":
    """Return a picture in memory, which an option names. Raises FileNotFoundError, or ValueError if it is none."""
    from PIL import Image

    from ..pipelines.clips import check_is_file
    from ..pipelines.pictures import UNREADABLE

    with file_of(name, file):
        check_is_file(file)
    try:
        with Image.open(file) as image:
            image.load()
            return image
    except UNREADABLE as error:
        raise ValueError(f"{flag(name)} {file} is no picture that PIL can read: {error}") from error


def scaling(text: str) -> "RopeScaling":
    """Return the scaling of `--rope NAME,key=value,…`, for any size. Raises ValueError."""
    from ..nextdit import RopeScaling
    from ..nextdit.layers.rope_scaling import METHODS

    name, values = named_values("--rope", text)
    if unknown := values.keys() - {"watershed", "return_from", "return_to"}:
        raise ValueError(f"--rope knows watershed, return_from and return_to, got {', '.join(sorted(unknown))}")
    if name in METHODS and name != ROPE:  # which may become a method that takes them
        METHODS[name].check(values)
    return RopeScaling(name, **values)


def context_drop(text: str) -> "ContextDrop":
    """Return the context drop of `--context-drop FADE,key=value,…`. Raises ValueError."""
    from ..nextdit import ContextDrop

    fade, values = named_values("--context-drop", text)
    if unknown := values.keys() - {"window", "start", "end"}:
        raise ValueError(f"--context-drop knows window, start and end, got {', '.join(sorted(unknown))}")
    window = values.pop("window", 2.0)
    if not window.is_integer():
        raise ValueError(f"--context-drop wants a whole number of tokens for its window, got {window:g}")
    return ContextDrop(int(window), fade, **values)


@contextmanager
def progress_bar(shown: bool, title: str | None = None, unit: str = "step") -> "Iterator[Progress | None]":
    """Yield what shows the progress of one request on stderr, from its first step on; None unless `shown`."""
    from tqdm import tqdm

    bars: list[tqdm] = []

    def progress(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(desc=title, total=total, unit=unit))
        bars[0].update(done - bars[0].n)

    try:
        yield progress if shown else None
    finally:
        for bar in bars:
            bar.close()
