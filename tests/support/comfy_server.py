"""Find a ComfyUI, and run its real server on a free port over a throw-away base directory."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from .processes import end

PACK = Path(__file__).resolve().parents[2]
HOW_TO_GET_ONE = (
    "clone https://github.com/comfyanonymous/ComfyUI, install its requirements into this Python, "
    "and set COMFYUI_PATH to the folder"
)
BOOT_SECONDS = 180
# An editor without the template dialog over its canvas, that draws text at every zoom.
EDITOR_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
}

# A custom node with no nodes: it only answers which modules the server process has imported.
PROBE = """
import sys
from aiohttp import web
from server import PromptServer
NODE_CLASS_MAPPINGS = {}

@PromptServer.instance.routes.get("/probe/modules")
async def modules(request):
    return web.json_response(sorted(sys.modules))
"""


def find_comfyui() -> Path | None:
    """The first ComfyUI among COMFYUI_PATH, the folder the pack lies in, and comfy-cli's default workspace."""
    candidates = [os.environ.get("COMFYUI_PATH"), PACK.parent.parent, Path.home() / "comfy" / "ComfyUI"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "comfy" / "sd.py").is_file() and (Path(candidate) / "main.py").is_file():
            return Path(candidate).resolve()
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ComfyServer:
    """A running server; use as a context manager, which ends the process whatever happens.

    `pack_name` is the name of the pack's folder under custom_nodes; None starts a server without the pack.
    `packages` is a folder whose packages go before the installed ones, `options` are arguments of ComfyUI.
    """

    def __init__(
        self,
        comfyui: Path,
        base: Path,
        pack_name: str | None = "lumina-next",
        packages: Path | None = None,
        options: tuple[str, ...] = ("--cpu",),
    ):
        self.comfyui, self.base, self.pack_name = comfyui, base, pack_name
        self.packages, self.options = packages, options
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = base / "server.log"
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "ComfyServer":
        self._prepare()
        arguments = [
            *self.options,
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--base-directory",
            str(self.base),
        ]
        arguments += ["--disable-api-nodes", "--database-url", "sqlite:///:memory:", "--preview-method", "latent2rgb"]
        # PYTHONPATH could hide an absolute import that fails in a user's ComfyUI.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        if self.packages is not None:
            environment["PYTHONPATH"] = str(self.packages)
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "main.py", *arguments],
                cwd=self.comfyui,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is None:
            return
        end(self._process)
        self._process = None

    def log(self, last_lines: int | None = None) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-last_lines:] if last_lines else lines)

    def get(self, path: str):
        """The decoded JSON answer of GET `path`."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _prepare(self) -> None:
        models = [f"models/{kind}" for kind in ("diffusion_models", "loras", "text_encoders")]
        for folder in ("custom_nodes/zz_probe", "input", "output", "temp", "user/default", *models):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        (self.base / "custom_nodes/zz_probe/__init__.py").write_text(PROBE)
        (self.base / "custom_nodes/stand_in_nodes.py").symlink_to(PACK / "tests/support/stand_in_nodes.py")
        (self.base / "user/default/comfy.settings.json").write_text(json.dumps(EDITOR_SETTINGS))
        if self.pack_name:
            (self.base / "custom_nodes" / self.pack_name).symlink_to(PACK, target_is_directory=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if not self.alive():
                raise RuntimeError(f"ComfyUI ended during start-up; its last words:\n{self.log(40)}")
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise RuntimeError(f"ComfyUI was not ready after {BOOT_SECONDS} s; its last words:\n{self.log(40)}")
