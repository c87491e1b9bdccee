"""Many prompts from a file: one picture each, and those that are there already are not made again."""

import argparse
import json
from copy import copy
from pathlib import Path
from typing import Any

from .jobs import Job

KEYS: dict[str, type] = {"prompt": str, "negative": str, "seed": int, "width": int, "height": int, "out": str}


def read_jobs(options: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the options of every picture that `--prompts` asks for, `output` being its file, in the file's order.

    A line is a prompt, or a JSON object with the keys of KEYS; nothing but a line end ends it. One that begins with #
    is a remark. A file's name is "out" or else the line's number, in the folder of `--output`. Raises ValueError that
    names the line.
    """
    from ..nextdit.text_files import read_text, split_lines

    jobs: list[argparse.Namespace] = []
    files: dict[str, int] = {}  # which line makes it
    lines = split_lines(read_text(options.prompts))
    digits = max(4, len(str(len(lines))))
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{options.prompts}, line {number}"
        asked = read_line(line.strip(" \t"), where)
        job = copy(options)
        file = options.output / asked.pop("out", f"{number:0{digits}}.png")
        for key, value in asked.items():
            setattr(job, key, value)
        job.output = file
        if (name := str(file.resolve()).casefold()) in files:
            raise ValueError(f"{where}: {file} is the picture of line {files[name]} already; give one another out")
        files[name] = number
        jobs.append(job)
    if not jobs:
        raise ValueError(f"--prompts {options.prompts} has no prompt in it")
    return jobs


def read_line(line: str, where: str) -> dict[str, Any]:
    """Return what a line asks for. Raises ValueError."""
    if not line.startswith("{"):
        return {"prompt": line}
    try:
        asked = json.loads(line)
    except json.JSONDecodeError as error:
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


def check_folder(folder: Path, jobs: list[Job]) -> None:
    """Make the folders that pictures go to. Raises ValueError for a name that leaves the folder or is no PNG's."""
    for job in jobs:
        if not job.output.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"out must stay within the folder of --output, {folder}; got {job.output}")
        if job.output.suffix.lower() != ".png":
            raise ValueError(f"out must end in .png, got {job.output}")
    for parent in {job.output.parent for job in jobs}:
        parent.mkdir(parents=True, exist_ok=True)
