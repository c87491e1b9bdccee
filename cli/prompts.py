"""Many prompts from a file: one picture each, and those that are there already are not made again."""

import argparse
import json
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options import OptionError
from .jobs import Job, flag
from .outputs import check_files, check_folder

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from ..pipelines import Models

KEYS: dict[str, type] = {"prompt": str, "negative": str, "seed": int, "width": int, "height": int, "out": str}


def read_jobs(options: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the options of every picture that `--prompts` asks for, `output` being its file, in the file's order.

    A line is a prompt, or a JSON object with the keys of KEYS; nothing but a line end ends it. One that begins with #
    is a remark. A file's name is "out" or else the line's number, in the folder of `--output`. `line` is where
    each stands. Raises ValueError that names the line, OSError.
    """
    jobs: list[argparse.Namespace] = []
    files: dict[str, int] = {}  # which line makes it
    lines = read_lines(options.prompts)
    digits = max(4, len(str(len(lines))))
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{options.prompts}, line {number}"
        asked = read_line(line.strip(" \t"), where)
        job = copy(options)
        file = options.output / asked.pop("out", f"{number:0{digits}}.png")
        check_name(file, options.output, where)
        for key, value in asked.items():
            setattr(job, key, value)
        job.output, job.line = file, where
        if (name := str(file.resolve()).casefold()) in files:
            raise ValueError(f"{where}: {file} is the picture of line {files[name]} already; give one another out")
        files[name] = number
        jobs.append(job)
    if not jobs:
        raise ValueError(f"--prompts {options.prompts} has no prompt in it")
    return jobs


def read_lines(file: Path) -> list[str]:
    """Return the lines of `--prompts`, a file or a pipe. Raises ValueError or OSError that name it."""
    from ..nextdit.text_files import read_text, split_lines

    try:
        return split_lines(read_text(file))
    except FileNotFoundError:
        raise FileNotFoundError(f"--prompts {file} does not exist") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"--prompts {file} is a folder; give a file with a prompt a line") from None


def check_name(file: Path, folder: Path, where: str) -> None:
    """Raise ValueError for a picture's name that leaves the folder or is no PNG's."""
    if "\0" in str(file) or not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{where}: out must stay within the folder of --output, {folder}; got {str(file)!r}")
    if file.suffix.lower() != ".png":
        raise ValueError(f"{where}: out must end in .png, got {file}")


def read_line(line: str, where: str) -> dict[str, Any]:
    """Return what a line asks for. Raises ValueError."""
    if not line.startswith("{"):
        return {"prompt": line}
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} starts with {{ but is no JSON object: {error}") from None
    if unknown := asked.keys() - KEYS.keys():
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}; known: {', '.join(KEYS)}")
    if "prompt" not in asked:
        raise ValueError(f"{where} has no prompt")
    for key, value in asked.items():
        if type(value) is not KEYS[key]:
            wanted = "a string" if KEYS[key] is str else "a whole number"
            raise ValueError(f"{where}: {key} must be {wanted}, got {value!r}")
    return asked


def unfinished(jobs: list[Job]) -> list[Job]:
    """Return the jobs whose pictures are not there yet; pictures appear only when whole, so those there are."""
    return [job for job in jobs if not job.output.exists()]


def job_of(options: argparse.Namespace, models: "Models") -> Job:
    """Return the job of one line. Raises ValueError that names the line."""
    try:
        return Job.of(options, models)
    except OptionError as error:
        raise ValueError(f"{options.line}: {error.words(flag)}") from error


def make_folders(folder: Path, jobs: list[Job]) -> None:
    """Make the folders that pictures go to. Raises OSError where pictures cannot be written there."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; with --prompts, --output is the folder for the pictures")
    inside = {above for job in jobs for above in job.output.resolve().parents}
    if both := [job.output for job in jobs if job.output.resolve() in inside]:
        raise IsADirectoryError(f"{both[0]} is a folder of another line's picture, too; give one of them another out")
    for parent in {folder, *(job.output.parent for job in jobs)}:
        parent.mkdir(parents=True, exist_ok=True)
        check_folder("output", parent)
    check_files("output", [job.output for job in jobs], overwrite=True)
