"""A ComfyUI within a benchmark's process."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import torch


def add_comfyui(parser: argparse.ArgumentParser) -> None:
    """Declare --comfyui."""
    found = Path(os.environ.get("COMFYUI_PATH", Path.home() / "comfy" / "ComfyUI"))
    parser.add_argument("--comfyui", type=Path, default=found, help="folder of a ComfyUI (default: %(default)s)")


def import_comfyui(folder: Path, device: Any = "cpu") -> None:
    """Make a ComfyUI's modules importable, without a GPU where the device is the CPU, as it chooses its attention by
    that. Raises FileNotFoundError if the folder is none."""
    if not (folder / "comfy" / "options.py").is_file():
        raise FileNotFoundError(
            f"{folder} is no ComfyUI, whose own networks this needs: give --comfyui FOLDER, or set COMFYUI_PATH"
        )
    sys.path.insert(0, str(folder))
    kept, sys.argv = sys.argv, [sys.argv[0], *(["--cpu"] if torch.device(device).type == "cpu" else [])]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_management  # noqa: F401 - reads the command line
    import utils.install_util  # noqa: F401 - before nodes, which would find comfy/utils.py under this name

    sys.argv = kept


def start_comfyui(folder: Path) -> None:
    """Do as `import_comfyui`, and load this pack into it."""
    import_comfyui(folder)
    from ...nodes import LuminaNextExtension

    asyncio.run(LuminaNextExtension().on_load())
