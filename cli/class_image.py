"""`lumina-next class`: names or numbers of classes in, a PNG for each out."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo import CLASS_MODEL
from .jobs import DTYPES, ROPE, numbered, picture_files, progress_bar
from .latents import keep_latents
from .outputs import check_output
from .remarks import say, without_guidance

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from ..pipelines import ClassToImage, Models


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("class", help="make pictures of classes, for models that were trained with some")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("labels", nargs="*", metavar="CLASS", help='names or numbers: a picture of each; "red apple" is one name')
    add("--list", action="store_true", help="print the classes that the model knows, and make nothing")
    add("--model", type=Path, default=CLASS_MODEL, help="class-conditional file or folder; default: the demo")
    add("--vae", type=Path, help="VAE of Stable Diffusion 1, for models that work on its latents (ImageNet's)")
    add("--width", type=int, help="in pixels; default: the size that the model was trained on")
    add("--height", type=int, help="in pixels; default: the size that the model was trained on")
    add("--steps", type=int, default=20, help="default: 20")
    add("--schedule", default="uniform", help="as of generate; default: uniform")
    add("--method", default="euler", help="euler, midpoint, heun or rk4; default: euler")
    add("--cfg", type=float, default=2.0, help="guidance scale; 1 is none and takes half the time; default: 2")
    add("--channels", type=int, help="guide only the first so many channels; 3 is what the reference code does")
    add("--rope", help="as of generate; default: " + ROPE)
    add("--context-drop", metavar="FADE", help="as of generate")
    add("--train-size", type=int, help="side in pixels of the training images; default: the checkpoint's")
    add("--seed", type=int, default=0, help="default: 0")
    add("--batch", type=int, default=1, help="pictures of each class, of the seeds that follow; default: 1")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add(
        "-o",
        "--output",
        type=Path,
        help="PNG to write, to which the name is added where there are several classes; default: the class's name, or "
        "the next number if it is there",
    )
    add("--overwrite", action="store_true", help="write over files that are there")


def run(options: argparse.Namespace) -> None:
    """Make the pictures and write them. Raises ValueError or OSError, before any long work where that can be told."""
    if bool(options.labels) == options.list:
        raise ValueError("give one class or several, by name or number, or --list to see them")
    import torch

    from ..pipelines import Models, UndecodedError, class_to_images

    dtype = getattr(torch, DTYPES[options.dtype]) if options.dtype else None
    models = Models(options.model, vae=options.vae, dtype=dtype, device=options.device, keep=False)
    if options.list:
        return print_classes(models)
    request = request_of(options)
    check_labels(options, models)
    request = request.resolved(models)
    files = files_of(options, request, models)
    say(in_vain(options, request))
    try:
        with progress_bar(True) as progress:
            pictures = class_to_images(request, models, progress)
    except UndecodedError as error:
        raise ValueError(keep_latents(error, files[0])) from error
    for picture, file in zip(pictures, files, strict=True):
        picture.save(file)
        print(file, flush=True)


def in_vain(options: argparse.Namespace, request: "ClassToImage") -> Iterator[str]:
    """Yield a sentence for each option that changes none of the pictures."""
    assert request.width and request.height and request.train_size
    yield from without_guidance(options.cfg, channels=options.channels)
    if options.rope is not None and request.width * request.height <= request.train_size**2:
        yield "--rope does nothing up to the training size"


def print_classes(models: "Models") -> None:
    """Print number and name of every class that a model knows."""
    models.check_family("class_image")
    known = models.config.known
    lines = map(str, range(known)) if isinstance(known, int) else (f"{n}\t{name}" for n, name in enumerate(known))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def check_labels(options: argparse.Namespace, models: "Models") -> None:
    """Raise ValueError for a class that the model does not know, saying where all of them are told."""
    models.check_family("class_image")
    config = models.config
    for label in options.labels:
        try:
            config.label(label)
        except ValueError as error:
            raise ValueError(f"{error}{'' if isinstance(config.known, int) else '; --list prints all'}") from error


def request_of(options: argparse.Namespace) -> "ClassToImage":
    """Return the request that options describe. Raises ValueError on what is out of range."""
    from ..options import named_values
    from ..pipelines import ClassToImage, Sampling
    from .jobs import context_drop, scaling, seeds_of

    schedule, values = named_values("--schedule", options.schedule)
    return ClassToImage(
        tuple(options.labels),
        options.width,
        options.height,
        seeds_of(options),
        Sampling(options.steps, schedule, values, options.method, options.cfg, options.channels),
        scaling(ROPE if options.rope is None else options.rope),
        None if options.context_drop is None else context_drop(options.context_drop),
        options.train_size,
    )


def files_of(options: argparse.Namespace, request: "ClassToImage", models: "Models") -> list[Path]:
    """Return the pictures' files. Raises ValueError or OSError where they cannot be written."""
    from ..pipelines.classes import class_name

    names = [file_name(class_name(models, int(label))) for label in request.labels]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is asked for twice; --batch makes several pictures of a class")
    out = options.output
    if out is None:
        own = [Path(f"{name}.png") for name in names]
        own = own if options.overwrite else [numbered(file, request.seeds) for file in own]
    else:
        own = [out] if len(names) == 1 else [out.with_name(f"{out.stem}-{name}{out.suffix}") for name in names]
    files = [file for each in own for file in picture_files(each, request.seeds)]
    check_output("output", out or own[0], (".png",), options.overwrite, files)
    return files


def file_name(label: str) -> str:
    """Return a class's name as that of a file."""
    return re.sub(r"[^\w]+", "-", label).strip("-").lower() or "class"
