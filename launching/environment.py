"""The environment .venv: this pack, ComfyUI's requirements and what the tests need."""

from __future__ import annotations  # so that an older Python gets as far as being told

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from .places import ROOT, VENV, WORK, LaunchError, say

STAMP = VENV / "set-up.json"
# These three belong together: pip would otherwise pair torch with a torchvision or torchaudio built for another one.
TORCH = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]


def venv_bin(name: str) -> Path:
    """Path of a program in .venv."""
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


def keep_compiled_modules() -> None:
    """Let programs that are started keep what Python compiles, in .launch where it may not lie beside the sources.

    Without it every start of torch and transformers takes twice as long.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(WORK / "pycache"))


def fingerprint(comfyui: Path | None) -> str:
    """Hash of all that decides what .venv must hold."""
    parts = [str(ROOT), sys.version, str(TORCH), str(comfyui is not None)]
    for file in (ROOT / "pyproject.toml", comfyui and comfyui / "requirements.txt"):
        parts.append(file.read_text(encoding="utf-8") if file else "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_set_up(mark: str, tests: bool) -> bool:
    """Whether a finished set-up with this fingerprint is there, with the test extras if `tests`."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return stamp.get("fingerprint") == mark and (stamp.get("tests") is True or not tests)


def set_up(comfyui: Path | None, tests: bool = False) -> None:
    """Make .venv hold the pack (editable), ComfyUI's requirements and, if `tests`, the test extras."""
    mark = fingerprint(comfyui)
    if is_set_up(mark, tests):
        return
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    python = venv_bin("python")
    if not python.exists() or subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        say("Setting up .venv (once).")
        if subprocess.run([sys.executable, "-m", "venv", "--clear", VENV]).returncode:
            raise LaunchError("Python could not make .venv. On Debian and Ubuntu, first: apt install python3-venv")
    install([*TORCH, "-r", str(comfyui / "requirements.txt")] if comfyui else TORCH[:1], tests)
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps({"fingerprint": mark, "tests": tests}), encoding="utf-8")
    os.replace(partial, STAMP)
    say(f"Set up in {time.monotonic() - started:.0f} s.")


def install(requirements: list[str], tests: bool) -> None:
    """Install this pack and `requirements` into .venv with uv, or with pip where uv cannot be had or fails."""
    wanted = [*requirements, "-e", f"{ROOT}[test]" if tests else str(ROOT)]
    python = str(venv_bin("python"))
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "180"]
    say("Installing packages.")
    if subprocess.run([*pip, "uv"]).returncode == 0:
        env = {"UV_HTTP_TIMEOUT": "300", "UV_LINK_MODE": "copy" if os.name == "nt" else "hardlink", **os.environ}
        if index := pip_index(python):
            env.setdefault("UV_DEFAULT_INDEX", index)
        uv = [str(venv_bin("uv")), "pip", "install", "--python", python]
        if subprocess.run([*uv, *wanted], env=env).returncode == 0:
            return
    say("uv could not do it; pip takes a few minutes longer.")
    if subprocess.run([*pip, *wanted]).returncode:
        raise LaunchError("The packages could not be installed; the lines above say which. Run the same command again.")


def pip_index(python: str) -> str | None:
    """The package index that pip is configured to use, which uv does not look up by itself."""
    shown = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    found = values.get(":env:.index-url") or values.get("install.index-url") or values.get("global.index-url")
    return found.strip("'\"") if found else None
