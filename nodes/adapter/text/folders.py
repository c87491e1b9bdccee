"""Folders of LLMs that ComfyUI's model folders hold; ComfyUI itself lists files only."""

import os
from pathlib import Path

import folder_paths

from ....nextdit.encoders.llm.files import read_json

SEARCHED = ("text_encoders", "LLM", "diffusers")
DEPTH = 2  # models/LLM/name and models/LLM/owner/name
# Encoders of other pipelines, which share these folders and are no decoder-only LLMs.
OTHERS = {"clip", "clip_text_model", "siglip", "siglip_text_model", "t5", "mt5", "umt5", "bert", "xlm-roberta"}


def llm_folders() -> dict[str, Path]:
    """Return name → folder of every LLM found, names relative to the model folder; the first of equal names wins."""
    # ComfyUI has no such folder of its own; other packs register the same one. Adding it again changes nothing.
    folder_paths.add_model_folder_path("LLM", os.path.join(folder_paths.models_dir, "LLM"))
    found: dict[str, Path] = {}
    for kind in SEARCHED:
        for root in folder_paths.get_folder_paths(kind):
            for folder in _search(Path(root), DEPTH):
                found.setdefault(folder.relative_to(root).as_posix(), folder)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def llm_folder(name: str) -> Path:
    """Return the folder of a listed name; FileNotFoundError if it is no longer there."""
    folders = llm_folders()
    if name not in folders:
        listed = ", ".join(folders) or "none"
        raise FileNotFoundError(
            f"Text encoder folder {name!r} is gone or no longer holds an LLM (config.json). Found now: {listed}. "
            "Put the folder back under models/text_encoders or models/LLM, or press R in the editor and choose another."
        )
    return folders[name]


def llm_fingerprint(name: str) -> str:
    """Return a text that changes when a file of the LLM is replaced."""
    folder = llm_folders().get(name)
    if folder is None:
        return "missing"
    places = [place for place in (folder, folder / "text_encoder", folder / "tokenizer") if place.is_dir()]
    files = [entry for place in places for entry in sorted(place.iterdir()) if entry.is_file()]
    return ";".join(f"{file.relative_to(folder)}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)


def _search(folder: Path, depth: int) -> list[Path]:
    if depth == 0 or not folder.is_dir():
        return []
    found: list[Path] = []
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        if any((child / name).exists() for name in ("config.json", "model_index.json", "text_encoder")):
            found += [child] if _is_llm(child) else []
        else:
            found += _search(child, depth - 1)
    return found


def _is_llm(folder: Path) -> bool:
    for config in (folder / "config.json", folder / "text_encoder" / "config.json"):
        if config.is_file():
            try:
                kind = read_json(config).get("model_type")
            except (OSError, ValueError):
                return True  # listed, so that loading it says what is wrong
            return isinstance(kind, str) and kind not in OTHERS
    return False
