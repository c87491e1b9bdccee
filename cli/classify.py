"""`lumina-next classify`: pictures in, what they show out, a line of JSON each."""

import argparse
import json
import sys
from pathlib import Path

from ..demo import CLASSIFIER
from .jobs import DTYPES, progress_bar

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("classify", help="say what pictures of any size and shape show, a line of JSON each")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="pictures, or folders of them")
    add("--top", type=int, default=5, help="how many of the likeliest labels to tell; default: 5")
    add("--language", help="of the labels, such as en, ja, zh, de, or emoji; default: the model's first")
    add("--rope", metavar="METHOD", help="how positions are scaled in large pictures; default: as in training")
    add("--like", type=Path, metavar="FILE", help="the pictures most like this one first; score is how alike they are")
    add("--best", metavar="LABEL", help="the pictures that most likely show this first; score is how likely")
    add("--model", type=Path, default=CLASSIFIER, help="a Next-DiT that recognises pictures; default: the demo")
    add("--dtype", choices=DTYPES, help="default: fp32")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")


def run(options: argparse.Namespace) -> None:
    """Print what the pictures show. Raises ValueError or OSError, before any output."""
    files = pictures_in(options.files)
    import torch

    from ..pipelines import ClassifyRequest, Models, classify

    dtype = getattr(torch, DTYPES[options.dtype or "fp32"])
    models = Models(options.model, dtype=dtype, device=options.device)
    request = ClassifyRequest(files, options.top, options.language, options.like, options.best, options.rope)
    with progress_bar(len(files) > 32, unit="picture") as progress:
        found = classify(request, models, progress)
    for each in found:
        line = {"file": str(files[each.place]), **each.as_dict()}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def pictures_in(paths: list[Path]) -> list[Path]:
    """Return the files among paths, and those in folders among them. Raises OSError or ValueError if there are none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
            if not inside:
                raise ValueError(f"{path} holds no pictures ({', '.join(ENDINGS)})")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path} does not exist")
    return found
