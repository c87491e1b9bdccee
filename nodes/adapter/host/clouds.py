"""Point clouds in ComfyUI's folders and types."""

import io as streams
import os
from pathlib import Path

import folder_paths
import torch
import torch.nn.functional as F
from comfy_api.latest import io
from torch import Tensor

from ....nextdit.clouds.files import READERS, read_points, save_points, write_points
from ....nextdit.clouds.shape import fit, from_upright

HAS_FILES = hasattr(io, "File3DPLY")
"""Whether this ComfyUI knows 3D files; releases such as 0.3.64 do not."""

FRAME = "points_frame"
"""The key of a LATENT under which it is kept where a loaded cloud lay."""

PLACES = ("", "3d")


def names() -> list[str]:
    """List the files of points in ComfyUI's input folder, and its 3d."""
    root = Path(folder_paths.get_input_directory())
    files = [file for place in PLACES if (root / place).is_dir() for file in sorted((root / place).iterdir())]
    wanted = {f".{suffix}" for suffix in READERS}
    return [file.relative_to(root).as_posix() for file in files if file.suffix.lower() in wanted and file.is_file()]


def path_of(name: str) -> Path:
    """Return the path of a listed file. Raises FileNotFoundError if it is none, or no longer there."""
    if name not in names():
        raise FileNotFoundError(f"{name} is not, or no longer, in ComfyUI's input folder: press R in the editor")
    return Path(folder_paths.get_input_directory()) / name


def fingerprint(name: str) -> str:
    """Return what changes with a file."""
    found = path_of(name).stat()
    return f"{found.st_mtime_ns} {found.st_size}"


def load(name: str, up: str, fitted: bool) -> dict:
    """Return the LATENT of a file's points, with where they lay; ValueError and FileNotFoundError name the file."""
    points = read_points(path_of(name))
    if not fitted:
        return {"samples": from_upright(points.float(), up).T[None].contiguous()}
    points, frame = fit(points, up)
    return {"samples": points.T[None].contiguous(), FRAME: frame}


def file_output(id: str, tooltip: str):
    """Return the output of files, one a cloud: 3D files, or on releases without them their paths."""
    kind = io.File3DPLY if HAS_FILES else io.String
    return kind.Output(display_name=id, is_output_list=True, tooltip=tooltip)


def to_file(points: Tensor, prefix: str):
    """Return points (N, 3) as a 3D file, or on releases without those the path of the file that was written."""
    if HAS_FILES:
        from comfy_api.latest import Types

        return Types.File3D(streams.BytesIO(write_points(points, "ply")), "ply")
    folder, name, number, _, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory())
    path = os.path.join(folder, f"{name}_{number:05}_.ply")
    save_points(points, path)
    return path


def voxels(clouds: list[Tensor], cells: int, thickness: int):
    """Return clouds (N, 3) as ComfyUI's VOXEL: a grid of `cells` a side, 1 around the points, y up."""
    from comfy_api.latest import Types

    grids = torch.zeros(len(clouds), 1, cells, cells, cells)
    room = 2 * thickness + 2  # so that the surface is closed at the rim
    for grid, points in zip(grids[:, 0], clouds, strict=True):
        fitted, _ = fit(points)
        places = ((fitted + 1) / 2 * (cells - 1 - room) + room / 2).round().long().clamp(0, cells - 1)
        grid[places[:, 2], places[:, 1], places[:, 0]] = 1.0
    if thickness:
        grids = F.max_pool3d(grids, 2 * thickness + 1, stride=1, padding=thickness)
    return Types.VOXEL(grids[:, 0])
