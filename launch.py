#!/usr/bin/env python3
"""Set up and run Lumina-Next; needs Python 3.10 or newer, a package index, and nothing else.

  python3 launch.py               make a picture with the text-to-image workflow, and say where it is
  python3 launch.py test [...]    lint, type check and run the tests; further arguments go to pytest
  python3 launch.py comfy [...]   start ComfyUI with this pack; further arguments go to ComfyUI

The environment is .venv in this folder. ComfyUI is looked for in COMFYUI_PATH, two folders up (when this pack lies
in custom_nodes), and in comfy-cli's default workspace; failing that, its official repository is cloned. It always
runs in .venv, with .launch/comfy as its base directory: your ComfyUI's own environment, packs, settings and outputs
stay as they are, and its models are found.
"""

from __future__ import annotations  # so that an older Python gets as far as being told

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WORK = ROOT / ".launch"
STAMP = VENV / "set-up.json"
PROMPT = "fox"
TYPED = ("nextdit", "samplers", "pipelines", "cli", "training", "benchmarks")  # packages that import without ComfyUI
WORKFLOW = ROOT / "workflows" / "api" / "text_to_image.json"
COMFYUI_URL, COMFYUI_TAG = "https://github.com/comfyanonymous/ComfyUI", "v0.33.0"
# These three belong together: pip would otherwise pair torch with a torchvision or torchaudio built for another one.
TORCH = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]


class LaunchError(Exception):
    """Something the user has to know; shown without a traceback."""


def say(text: str) -> None:
    """Print one line at once, even into a pipe."""
    print(text, flush=True)


# --- ComfyUI: where it is ---------------------------------------------------------------------------------------------


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


# --- set-up -----------------------------------------------------------------------------------------------------------


def venv_bin(name: str) -> Path:
    """Path of a program in .venv."""
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


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


# --- ComfyUI: running it ----------------------------------------------------------------------------------------------


def link_pack(base: Path) -> None:
    """Make the pack appear in `base`/custom_nodes: a symbolic link, or a junction where Windows forbids one."""
    link = base / "custom_nodes" / "lumina-next"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists() and link.resolve() == ROOT:
        return
    if os.path.lexists(link):
        link.unlink()
    try:
        link.symlink_to(ROOT, target_is_directory=True)
    except OSError:
        if os.name != "nt":
            raise
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(ROOT)], check=True, stdout=subprocess.DEVNULL)


def free_port(wanted: int = 0) -> int:
    """Return `wanted` if nothing listens there, else any free port."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        return probe.getsockname()[1]


def server_command(comfyui: Path, port: int) -> list[str]:
    """Return the command line of a ComfyUI server with this pack, on the CPU where torch sees no accelerator."""
    base = WORK / "comfy"
    link_pack(base)
    models = {folder.name: str(folder) for folder in sorted((comfyui / "models").glob("*")) if folder.is_dir()}
    paths = WORK / "model_paths.yaml"  # JSON is YAML
    paths.write_text(json.dumps({"comfyui": models}), encoding="utf-8")
    check = "import torch; raise SystemExit(not torch.accelerator.is_available())"
    cpu = ["--cpu"] if subprocess.run([venv_bin("python"), "-c", check]).returncode else []
    command = [str(venv_bin("python")), str(comfyui / "main.py"), "--base-directory", str(base), "--port", str(port)]
    return [*command, "--extra-model-paths-config", str(paths), *cpu]


@contextmanager
def serving(command: list[str], address: str, log: Path | None = None) -> Iterator[subprocess.Popen]:
    """Run a server, from when it answers at `address` until the block ends, however that ends."""
    with log.open("wb") if log else nullcontext() as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            for _ in range(1500):
                if server.poll() is not None:
                    raise LaunchError(f"ComfyUI ended while starting (exit code {server.returncode}).")
                try:
                    call(f"{address}/system_stats")
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                raise LaunchError("ComfyUI did not answer within five minutes.")
            yield server
        except LaunchError as error:
            raise LaunchError(f"{error}\nIts log: {log}" if log else str(error)) from None
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def call(url: str, body: dict | None = None) -> dict:
    """GET `url`, or POST `body` to it, as JSON; a refusal is a LaunchError with the server's words."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise LaunchError(f"ComfyUI refused {url}: {error.read().decode(errors='replace')[:2000]}") from None


def queue_workflow(server: subprocess.Popen, address: str, workflow: dict) -> list[dict]:
    """Run a workflow in API format; returns its saved images as ComfyUI names them."""
    job = call(f"{address}/prompt", {"prompt": workflow})["prompt_id"]
    while server.poll() is None:
        entry = call(f"{address}/history/{job}").get(job)
        if entry and entry["status"]["status_str"] == "error":
            details = [m[1] for m in entry["status"]["messages"] if m[0] == "execution_error"]
            raise LaunchError(f"The workflow failed: {details[0]['exception_message'].strip() if details else entry}")
        if entry and entry["status"]["completed"]:
            images = [image for node in entry["outputs"].values() for image in node.get("images", [])]
            return [image for image in images if image["type"] == "output"]
        time.sleep(0.1)
    raise LaunchError(f"ComfyUI ended in mid-run (exit code {server.returncode}).")


# --- the commands -----------------------------------------------------------------------------------------------------


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
        command = [venv_bin("lumina-next"), "generate", PROMPT, "-o", target]
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
    for check in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", *TYPED]):
        if subprocess.run([python, "-m", *check], cwd=ROOT, env=env).returncode:
            say(f"FAILED: {' '.join(check)}")
            failed = 1
    tests = [python, "-m", "pytest", "-c", "tests/pytest.ini", "-rs", *whole_suite(arguments), *arguments]
    return subprocess.run(tests, cwd=ROOT, env=env).returncode or failed


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


def main(arguments: list[str]) -> int:
    """Carry out the command line; returns the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036 - the user's Python, whatever pyproject.toml asks for
        raise LaunchError(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` above runs
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help", "help"):
        say(__doc__.strip())
        return 0
    if command == "test":
        return test(rest)
    if command == "comfy":
        return comfy(rest)
    if command:
        raise LaunchError(f"Unknown command {command!r}; see python3 launch.py --help")
    return run()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LaunchError as error:
        sys.exit(f"launch.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
