"""`lumina-next download` with the real huggingface_hub, against a small hub on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lumina_next.cli.download import WEIGHTS

CONTENT = bytes(range(256)) * 64
MIB = 2**20
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as one download takes; `server.files` maps repository to file names.

    With `server.stall_after` set, a whole file stops coming after so many bytes until `server.go_on` is set.
    """

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        parts = self.path.split("?")[0].strip("/").split("/")
        repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        headers, status, content = {}, 200, self.server.content
        if repository in self.server.gated:
            headers["X-Error-Code"], status, content = "GatedRepo", 403, b"{}"
        elif repository not in self.server.files:
            status, content = 404, b"{}"
        elif parts[0] == "api" and "tree" in parts:
            size, digest = len(content), hashlib.sha256(content).hexdigest()
            files = [
                {"type": "file", "path": name, "size": size, "oid": digest[:40]}
                for name in self.server.files[repository]
            ]
            content = json.dumps(files).encode()
        elif parts[0] == "api":
            files = [{"rfilename": name} for name in self.server.files[repository]]
            content = json.dumps({"id": repository, "sha": COMMIT, "siblings": files}).encode()
        else:
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if wanted := self.headers.get("Range"):
                start = int(wanted.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                status, content = 206, content[start:]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        stall = self.server.stall_after
        if body and stall and status == 200 and parts[0] != "api":
            self.wfile.write(content[:stall])
            self.server.go_on.wait(30)
        elif body:
            self.wfile.write(content)


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.gated, server.asked = {}, set(), []
    server.content, server.stall_after, server.go_on = CONTENT, 0, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def start(port: int, *arguments: object) -> subprocess.Popen:
    """Run the command in a process of its own: huggingface_hub reads its address when it is imported."""
    check = "import sys; from lumina_next.cli import main; sys.exit(main(sys.argv[1:]))"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env = {**kept, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
    command = [sys.executable, "-c", check, "download", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def download(port: int, *arguments: object) -> subprocess.CompletedProcess:
    """Run the command to its end."""
    process = start(port, *arguments)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_files_arrive_where_comfyui_looks(hub, tmp_path):
    repository = WEIGHTS["gemma-2b"].repository
    hub.files[repository] = ["README.md", "text_encoder/model.safetensors", "tokenizer/tokenizer.json", "vae/x.bin"]
    done = download(hub.server_port, "gemma-2b", "--to", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "text_encoders" / "gemma-2b"
    files = [folder / "text_encoder" / "model.safetensors", folder / "tokenizer" / "tokenizer.json"]
    assert done.stdout.split() == [str(file) for file in files]
    assert all(file.read_bytes() == CONTENT for file in files)
    assert not (folder / "README.md").exists()


def test_an_interrupted_download_goes_on(hub, tmp_path):
    hub.files[WEIGHTS["sdxl-vae"].repository] = ["sdxl_vae.safetensors"]
    hub.content, hub.stall_after = CONTENT * 704, 10 * MIB  # huggingface_hub writes 10 MiB at a time
    target = tmp_path / "vae"
    process = start(hub.server_port, "sdxl-vae", "--to", tmp_path)
    for _ in range(300):
        if any(file.stat().st_size >= 10 * MIB for file in target.rglob("*.incomplete")):
            break
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert not (target / "sdxl_vae.safetensors").exists()
    hub.go_on.set()
    assert download(hub.server_port, "sdxl-vae", "--to", tmp_path).returncode == 0
    assert (target / "sdxl_vae.safetensors").read_bytes() == hub.content
    assert f"bytes={10 * MIB}-" in {asked[2] for asked in hub.asked}


def test_a_gated_repository_says_what_to_do(hub, tmp_path):
    hub.gated.add("google/gemma-2b")
    done = download(hub.server_port, "gemma-2b-google", "--to", tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("lumina-next: google/gemma-2b is gated: accept its licence at ")
    assert "Traceback" not in done.stderr


def test_offline_is_one_line(tmp_path):
    done = download(9, "sft", "--to", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("lumina-next: Alpha-VLLM/Lumina-Next-SFT could not be fetched")
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_file_that_left_the_hub_is_named(hub, tmp_path):
    hub.files[WEIGHTS["t2i"].repository] = ["README.md"]
    done = download(hub.server_port, "t2i", "--to", tmp_path)
    assert done.stderr == "lumina-next: Alpha-VLLM/Lumina-Next-T2I no longer has consolidated.00-of-01.safetensors\n"


def test_the_target_must_be_a_folder(fails):
    assert "give ComfyUI's models folder" in fails("download", "sft", "--to", "nowhere")
