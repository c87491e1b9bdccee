"""Which ComfyUI is used: one that is there, or a clone."""

from __future__ import annotations  # so that an older Python gets as far as being told

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .places import ROOT, WORK, LaunchError, say

COMFYUI_URL, COMFYUI_TAG = "https://github.com/comfyanonymous/ComfyUI", "v0.33.0"


def is_comfyui(folder: Path) -> bool:
    """Whether `folder` is a ComfyUI checkout."""
    return all((folder / name).is_file() for name in ("main.py", "folder_paths.py", "requirements.txt"))


def find_comfyui(root: Path = ROOT, home: Path | None = None, platform: str = sys.platform) -> Path | None:
    """First ComfyUI of COMFYUI_PATH, two folders up, comfy-cli's default workspace and our own clone."""
    if named := os.environ.get("COMFYUI_PATH"):
        folder = Path(named).expanduser().resolve()
        if not is_comfyui(folder):
            raise LaunchError(f"COMFYUI_PATH is {named}, and that is no ComfyUI checkout (no main.py in it).")
        return folder
    home = home or Path.home()
    workspace = home / "comfy" if platform.startswith("linux") else home / "Documents" / "comfy"
    places = [workspace / "ComfyUI", root / ".launch" / "ComfyUI"]
    if root.parent.name == "custom_nodes":
        places.insert(0, root.parent.parent)
    return next((place for place in places if is_comfyui(place)), None)


def clone_comfyui(url: str = COMFYUI_URL, target: Path = WORK / "ComfyUI") -> Path | None:
    """Clone ComfyUI to `target`, which exists only when whole; None when the repository cannot be reached."""
    if shutil.which("git") is None:
        say("No ComfyUI found, and no git to clone it with.")
        return None
    say(f"No ComfyUI found; cloning {url} ({COMFYUI_TAG}).")
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    quiet = {"env": env, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": True}
    try:  # asking for one ref first: git itself waits minutes for a host that does not answer
        subprocess.run(["git", "ls-remote", "--exit-code", url, COMFYUI_TAG], timeout=20, **quiet)
        clone = ["git", "clone", "--depth", "1", "--branch", COMFYUI_TAG, url, str(partial)]
        subprocess.run(clone, timeout=300, **quiet)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        say(f"It could not be cloned: {reason[0] if reason else error}")
        return None
    partial.rename(target)
    return target
