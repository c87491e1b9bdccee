"""Where results are written: said before any work where that cannot be."""

import os
from collections.abc import Sequence
from pathlib import Path


def check_output(
    option: str, output: Path, suffixes: Sequence[str], overwrite: bool, files: Sequence[Path] = ()
) -> None:
    """Raise ValueError or OSError where the output, or the files made of its name, cannot be written.

    `option` is what it is called on the command line. Without `overwrite` no file may be there.
    """
    if output.suffix.lower() not in suffixes:
        raise ValueError(f"--{option} must end in {', '.join(suffixes)}, got {output}")
    folder = output.resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder of --{option} does not exist: {folder}")
    check_folder(option, folder)
    check_files(option, files or [output], overwrite)


def check_files(option: str, files: Sequence[Path], overwrite: bool) -> None:
    """Raise OSError where a folder has a file's name, or, without `overwrite`, where a file is there."""
    for file in files:
        if file.is_dir():
            raise IsADirectoryError(f"{file} is a folder; give --{option} another name")
    there = [str(file) for file in files if file.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{', '.join(there[:3])} is there already; add --overwrite, or give --{option} another name"
        )


def check_folder(option: str, folder: Path) -> None:
    """Raise OSError where nothing can be written into a folder that is there."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"nothing can be written into {folder.resolve()}; give --{option} another folder")
