"""LLMs that ComfyUI's model folders hold: folders, single files with the tokenizer inside, files of CLIPSave."""

import os
from functools import lru_cache
from pathlib import Path

import folder_paths

from ....nextdit.encoders.llm.single_file import is_single_file
from ....nextdit.text_files import read_json
from ..host.listing import folders, roots
from .clip import is_saved_clip

SEARCHED = ("text_encoders", "LLM", "diffusers")
# Encoders of other pipelines, which share these folders and are no decoder-only LLMs.
OTHERS = {"clip", "clip_text_model", "siglip", "siglip_text_model", "t5", "mt5", "umt5", "bert", "xlm-roberta"}


def llm_folders() -> dict[str, Path]:
    """Return name → folder, or file, of every LLM found; the first of equal names wins.

    Names are relative to the model folder.
    """
    # ComfyUI has no such folder of its own; other packs register the same one. Adding it again changes nothing.
    folder_paths.add_model_folder_path("LLM", os.path.join(folder_paths.models_dir, "LLM"))
    found = folders(roots(*SEARCHED), _is_wanted)
    for name in folder_paths.get_filename_list("text_encoders"):
        file = folder_paths.get_full_path("text_encoders", name)
        if file is not None and _is_whole(file, os.path.getsize(file), os.path.getmtime(file)):
            found.setdefault(Path(name).as_posix(), Path(file))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def llm_folder(name: str) -> Path:
    """Return the folder or file of a listed name; FileNotFoundError if it is no longer there."""
    folders = llm_folders()
    if name not in folders:
        listed = ", ".join(folders) or "none"
        raise FileNotFoundError(
            f"the text encoder {name!r} is gone or no longer holds an LLM (config.json), found now: {listed}; "
            "put the folder back under models/text_encoders or models/LLM, or press R in the editor and choose another"
        )
    return folders[name]


def llm_fingerprint(name: str) -> str:
    """Return a text that changes when a file of the LLM is replaced."""
    folder = llm_folders().get(name)
    if folder is None:
        return "missing"
    if folder.is_file():
        return f"{folder.name}:{folder.stat().st_size}:{folder.stat().st_mtime_ns}"
    places = [place for place in (folder, folder / "text_encoder", folder / "tokenizer") if place.is_dir()]
    files = [entry for place in places for entry in sorted(place.iterdir()) if entry.is_file()]
    return ";".join(f"{file.relative_to(folder)}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)


@lru_cache(maxsize=4096)
def _is_whole(file: str, size: int, changed: float) -> bool:
    """Whether a file is an LLM with its tokenizer. Size and time of change: a replaced one is read again."""
    del size, changed
    return is_saved_clip(Path(file)) or is_single_file(Path(file))


def _is_wanted(folder: Path) -> bool | None:
    if any(os.path.exists(folder / name) for name in ("config.json", "model_index.json", "text_encoder")):
        return _is_llm(folder)
    return None


def _is_llm(folder: Path) -> bool:
    for config in (folder / "config.json", folder / "text_encoder" / "config.json"):
        if os.path.isfile(config):
            try:
                kind = read_json(config).get("model_type")
            except (OSError, ValueError):
                return True  # listed, so that loading it says what is wrong
            return isinstance(kind, str) and kind not in OTHERS
    return False
