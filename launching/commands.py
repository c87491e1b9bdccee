"""The commands of launch.py; each returns its exit code."""

from __future__ import annotations  # so that an older Python gets as far as being told

import json
import os
import shutil
import subprocess
from pathlib import Path
from subprocess import PIPE, STDOUT

from .checkout import clone_comfyui, find_comfyui
from .environment import set_up, venv_bin
from .places import ROOT, WORK, LaunchError, say
from .server import free_port, queue_workflow, server_command, serving

PROMPT = "fox"
TYPED = ("nextdit", "samplers", "pipelines", "cli", "training", "benchmarks")  # packages that import without ComfyUI
WORKFLOW = ROOT / "workflows" / "api" / "text_to_image.json"


def run_in_comfyui(comfyui: Path) -> list[Path]:
    """Run the text-to-image workflow in a server of its own; returns the pictures, copied to output/."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [*server_command(comfyui, port), "--disable-api-nodes", "--database-url", "sqlite:///:memory:"]
    with serving(command, address, WORK / "comfyui.log") as server:
        images = queue_workflow(server, address, json.loads(WORKFLOW.read_text(encoding="utf-8")))
    pictures = []
    for image in images:
        picture = ROOT / "output" / image["filename"]
        picture.parent.mkdir(exist_ok=True)
        partial = picture.with_suffix(".partial")
        shutil.copyfile(WORK / "comfy" / "output" / image["subfolder"] / image["filename"], partial)
        os.replace(partial, picture)
        pictures.append(picture)
    return pictures


def run() -> int:
    """Make a picture: in ComfyUI if there is one, else with the command line."""
    comfyui = find_comfyui() or clone_comfyui()
    set_up(comfyui)
    if comfyui is None:
        say("No ComfyUI, so the command line lumina-next makes the picture. To use one, set COMFYUI_PATH to it.")
        target = ROOT / "output" / "lumina-next.png"
        target.parent.mkdir(exist_ok=True)
        command = [venv_bin("lumina-next"), "generate", PROMPT, "-o", target, "--overwrite"]
        if code := subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            return code
        say(f"Image: {target}")
        return 0
    say(f"Running {WORKFLOW.relative_to(ROOT).as_posix()} in ComfyUI at {comfyui}")
    for picture in run_in_comfyui(comfyui):
        say(f"Image: {picture}")
    return 0


def test(arguments: list[str]) -> int:
    """Lint, check types, run the tests; a failure of any is the exit code."""
    comfyui = find_comfyui() or clone_comfyui()
    set_up(comfyui, tests=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # on models this small, threads cost far more than they bring
    env["PYTHONUTF8"] = "1"
    if comfyui:
        env["COMFYUI_PATH"] = str(comfyui)
    python = str(venv_bin("python"))
    failed = 0
    for check in (["ruff", "check"], ["ruff", "format", "--check"]):
        failed |= passed_or_said(check, subprocess.run([python, "-m", *check], cwd=ROOT, env=env).returncode)
    tests = [python, "-m", "pytest", "-c", "tests/pytest.ini", "-rs", *whole_suite(arguments), *arguments]
    check = ["mypy", *TYPED]  # beside the tests, as it keeps one core busy for a minute
    with subprocess.Popen([python, "-m", *check], cwd=ROOT, env=env, stdout=PIPE, stderr=STDOUT, text=True) as types:
        try:
            code = subprocess.run(tests, cwd=ROOT, env=env).returncode
            say(types.communicate()[0].rstrip())
        finally:
            types.terminate()  # where the tests were interrupted; one that has ended does not hear it
    return code or failed | passed_or_said(check, types.returncode)


def passed_or_said(check: list[str], code: int) -> int:
    """Name a check that failed; returns 1 for one."""
    if code:
        say(f"FAILED: {' '.join(check)}")
    return int(code != 0)


def whole_suite(arguments: list[str]) -> list[str]:
    """Return what pytest is told when `arguments` name no part of the tests: all of them, a process for each core."""
    if any((ROOT / a.split("::")[0]).exists() for a in arguments):
        return []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ["tests", "-n", str(min(cores, 4))] if cores > 1 else ["tests"]  # a process needs up to 2 GB


def comfy(arguments: list[str]) -> int:
    """Start ComfyUI with the pack, and stay until it ends."""
    comfyui = find_comfyui() or clone_comfyui()
    if comfyui is None:
        raise LaunchError("There is no ComfyUI to start. Set COMFYUI_PATH to a checkout of it.")
    set_up(comfyui)
    port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments[:-1] else free_port(8188)
    address = f"http://127.0.0.1:{port}"
    with serving([*server_command(comfyui, port), *arguments], address) as server:
        say(f"\nEditor: {address}   (Ctrl-C ends it)\n")
        return server.wait()
