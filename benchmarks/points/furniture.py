"""Real-world shapes to test on: the OBJ models of Sweet Home 3D's furniture libraries (Debian's sweethome3d-furniture).

Their licences (CC-BY, CC0, Free Art) are in the package. Nothing of them is in this repository, and nothing was trained
on them.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from ...nextdit.clouds.shape import fit
from ...training.data.points.shapes import on_surface

CATALOG = "PluginFurnitureCatalog.properties"
NAMES = ("chair", "table", "lamp")
OTHER = r"ottoman|bedside|football|fan|changing|outdoor|street|wall|pendant|ceiling|chandelier"


def models(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and OBJ content of every model in the .sh3f libraries of a folder. Raises FileNotFoundError."""
    libraries = sorted(folder.rglob("*.sh3f"))
    if not libraries:
        raise FileNotFoundError(f"{folder} has no .sh3f libraries: unpack Debian's sweethome3d-furniture there")
    for library in libraries:
        with zipfile.ZipFile(library) as archive:
            text = archive.read(CATALOG).decode("latin-1")
            entries: dict[str, dict[str, str]] = {}
            for key, number, value in re.findall(r"(?m)^(\w+)#(\d+)\s*=\s*(.*?)\s*$", text):
                entries.setdefault(number, {})[key] = value
            for entry in entries.values():
                file = entry.get("model", "").lstrip("/")
                if file.lower().endswith(".obj"):
                    yield entry.get("name", ""), archive.read(file)


def label_of(name: str) -> str | None:
    """Return the label of a model by its English name, None if it is none of NAMES."""
    if re.search(OTHER, name.lower()):
        return None
    return next((label for label in NAMES if re.search(rf"\b(arm)?{label}\b", name.lower())), None)


def furniture(folder: Path, points: int, most: int, device: torch.device) -> dict[str, list[Tensor]]:
    """Return clouds (points, 3), z up, of the models of each of NAMES, at most `most`, in the libraries' order."""
    found: dict[str, list[Tensor]] = {label: [] for label in NAMES}
    for name, content in models(folder):
        label = label_of(name)
        if label is None or len(found[label]) >= most:
            continue
        how: dict[str, Any] = {"file_type": "obj", "force": "mesh", "skip_materials": True, "process": False}
        mesh: Any = trimesh.load(io.BytesIO(content), **how)
        cloud = on_surface(np.asarray(mesh.triangles), points, np.random.default_rng(len(found[label])))
        found[label].append(fit(torch.from_numpy(cloud).float(), "y")[0].to(device))
    return found
