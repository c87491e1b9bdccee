#!/usr/bin/env python3
"""Set up and run Lumina-Next; needs Python 3.10 or newer, a package index, and nothing else.

  python3 launch.py               make a picture with the text-to-image workflow, and say where it is
  python3 launch.py test [...]    lint, type check and run the tests; further arguments go to pytest
  python3 launch.py comfy [...]   start ComfyUI with this pack; further arguments go to ComfyUI

The environment is .venv in this folder. ComfyUI is looked for in COMFYUI_PATH, two folders up (when this pack lies
in custom_nodes), and in comfy-cli's default workspace; failing that, its official repository is cloned. It always
runs in .venv, with .launch/comfy as its base directory: your ComfyUI's own environment, packs, settings and outputs
stay as they are, and its models are found.
"""

from __future__ import annotations  # so that an older Python gets as far as being told

import signal
import sys

from launching.commands import comfy, run, test
from launching.environment import keep_compiled_modules
from launching.places import LaunchError, say


def main(arguments: list[str]) -> int:
    """Carry out the command line; returns the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036 - the user's Python, whatever pyproject.toml asks for
        raise LaunchError(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` above runs
    keep_compiled_modules()
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help", "help"):
        say(__doc__.strip())
        return 0
    if command == "test":
        return test(rest)
    if command == "comfy":
        return comfy(rest)
    if command:
        raise LaunchError(f"Unknown command {command!r}; see python3 launch.py --help")
    return run()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LaunchError as error:
        sys.exit(f"launch.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
