"""What ComfyUI's model folders hold, links and junctions followed: whatever is listed is found, and nothing else is."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import folder_paths

DEPTH = 2  # models/diffusers/name and models/diffusers/owner/name


def file_names(kind: str) -> list[str]:
    """List the files of a kind of model as ComfyUI does, without links that lead nowhere."""
    return [name for name in folder_paths.get_filename_list(kind) if folder_paths.get_full_path(kind, name) is not None]


def find_file(kind: str, name: str) -> Path:
    """Return the path of a listed file. Raises FileNotFoundError if it is not, or no longer, one."""
    path = folder_paths.get_full_path(kind, name) if name in folder_paths.get_filename_list(kind) else None
    if path is None:
        raise FileNotFoundError(not_found(name, [kind], f"models/{kind}"))
    return Path(path)


def roots(*kinds: str) -> list[Path]:
    """Return the folders on disk, those of extra_model_paths.yaml too, that models of these kinds are looked for in."""
    return [Path(path) for kind in kinds for path in folder_paths.get_folder_paths(kind) if os.path.isdir(path)]


def folders(roots: list[Path], ends: Callable[[Path], bool | None]) -> dict[str, Path]:
    """Return name → folder of every wanted folder in these roots, names relative to them; the first of equals wins.

    `ends` says True to a folder that is wanted, False to one to leave out, both without looking inside, None to look.
    """
    found: dict[str, Path] = {}
    for root in roots:
        for folder in _search(root, DEPTH, ends, {os.path.realpath(root)}):
            found.setdefault(folder.relative_to(root).as_posix(), folder)
    return found


def not_found(name: str, kinds: list[str], where: str) -> str:
    """Say why no model has this name: most often it has gone since it was listed."""
    inside = Path(name)
    for root in roots(*kinds) if not inside.is_absolute() and ".." not in inside.parts else []:
        for place in (root / name, *(root / parent for parent in inside.parents)):
            if place.is_symlink() and not place.exists():
                return f"{name} in {where} leads to {os.readlink(place)}, which is gone; put it back, or link it again"
    return f"{name} is no longer in {where}; press R in the editor to read the list again"


def _search(folder: Path, depth: int, ends: Callable[[Path], bool | None], above: set[str]) -> Iterator[Path]:
    for child in _children(folder) if depth else []:
        real = os.path.realpath(child)
        if child.name.startswith(".") or real in above:  # a link to a folder that it is in has no end
            continue
        verdict = ends(child)
        if verdict:
            yield child
        elif verdict is None:
            yield from _search(child, depth - 1, ends, above | {real})


def _children(folder: Path) -> list[Path]:
    try:
        return [child for child in sorted(folder.iterdir()) if os.path.isdir(child)]
    except OSError:  # not ours to read, as lost+found, or a drive that has gone
        return []
