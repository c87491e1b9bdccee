"""A ComfyUI server with this pack, and a workflow run in it."""

from __future__ import annotations  # so that an older Python gets as far as being told

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .environment import venv_bin
from .places import ROOT, WORK, LaunchError


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
