"""The command line `lumina-next`: the pack's core without ComfyUI."""

import argparse
import sys

from ..options import OptionError
from ..version import VERSION
from . import audio, class_image, classify, download, generate, inspect, points, video
from .jobs import flag


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 after one line on stderr about what is wrong."""
    parser = argparse.ArgumentParser(prog="lumina-next", description="Lumina-Next (Next-DiT) without ComfyUI.")
    parser.add_argument("--version", action="version", version=f"lumina-next {VERSION}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (generate, class_image, points, video, audio, classify, inspect, download):
        command.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        told = error.words(flag) if isinstance(error, OptionError) else str(error)
        sys.stderr.write(f"lumina-next: {' '.join(told.split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("lumina-next: interrupted\n")
        return 130
    return 0
