"""The command line `lumina-next`: the pack's core without ComfyUI."""

import argparse
import os
import sys
from pathlib import Path

from ..options import OptionError
from ..version import VERSION
from . import audio, class_image, classify, download, generate, inspect, points, video
from .jobs import flag
from .streams import usable_output


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 after one line on stderr about what is wrong."""
    parser = argparse.ArgumentParser(prog="lumina-next", description="Lumina-Next (Next-DiT) without ComfyUI.")
    parser.add_argument("--version", action="version", version=f"lumina-next {VERSION}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (generate, class_image, points, video, audio, classify, inspect, download):
        command.add_parser(commands)
    with usable_output():
        return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Run a command; returns the exit code. Raises BrokenPipeError when nobody reads what it prints."""
    try:
        options.run(options)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        sys.stderr.write(f"lumina-next: {' '.join(words(error, options).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("lumina-next: interrupted\n")
        return 130
    return 0


def words(error: ValueError | OSError, options: argparse.Namespace) -> str:
    """Return what is wrong, as the command line's users call it: a file is named with the option that it came by."""
    if isinstance(error, OptionError):
        return error.words(flag)
    if isinstance(error, OSError) and error.strerror and error.filename:
        given = (name for name, value in vars(options).items() if value == Path(os.fsdecode(error.filename)))
        by = next((f"{flag(name)} " for name in given if name != "path"), "")
        return f"{by}{error.filename}: {error.strerror}"
    return str(error)
