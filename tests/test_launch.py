"""launch.py: which ComfyUI it takes, when it sets up, and that no server outlives it. Nothing here uses the network."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lumina_next.launching import checkout, commands, environment, server
from lumina_next.launching.places import ROOT, LaunchError

# Answers like a ComfyUI whose only workflow node saved one picture, or failed if the workflow says so.
SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
jobs = {}
class Handler(BaseHTTPRequestHandler):
    def answer(self, body, code=200):
        self.send_response(code), self.end_headers(), self.wfile.write(json.dumps(body).encode())
    def do_GET(self):
        self.answer(jobs if self.path.startswith("/history") else {})
    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
        if "bad" in prompt:
            return self.answer({"error": {"message": "missing_node_type"}}, 400)
        status = {"status_str": "success", "completed": True, "messages": []}
        if "fails" in prompt:
            error = ["execution_error", {"exception_message": "out of luck"}]
            status = {"status_str": "error", "completed": False, "messages": [error]}
        images = [{"filename": "a.png", "subfolder": "", "type": "output"}, {"filename": "b.png", "type": "temp"}]
        jobs["job"] = {"status": status, "outputs": {"9": {"images": images}}}
        self.answer({"prompt_id": "job"})
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def make_comfyui(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("main.py", "folder_paths.py", "requirements.txt"):
        (folder / name).write_text("")
    return folder


@pytest.fixture(autouse=True)
def no_comfyui_path(monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)


@pytest.fixture
def places(tmp_path):
    """Root of a pack that lies in a ComfyUI's custom_nodes, and a home; no ComfyUI is there yet."""
    root = tmp_path / "host" / "custom_nodes" / "lumina-next"
    root.mkdir(parents=True)
    return root, tmp_path / "home"


def test_comfyui_is_looked_for_in_order(places, tmp_path, monkeypatch):
    root, home = places
    assert checkout.find_comfyui(root, home, "linux") is None
    own = make_comfyui(root / ".launch" / "ComfyUI")
    assert checkout.find_comfyui(root, home, "linux") == own
    workspace = make_comfyui(home / "comfy" / "ComfyUI")
    assert checkout.find_comfyui(root, home, "linux") == workspace
    for name in ("main.py", "folder_paths.py", "requirements.txt"):
        (root.parent.parent / name).write_text("")
    assert checkout.find_comfyui(root, home, "linux") == root.parent.parent
    monkeypatch.setenv("COMFYUI_PATH", str(make_comfyui(tmp_path / "named")))
    assert checkout.find_comfyui(root, home, "linux") == tmp_path / "named"


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_comfy_cli_has_its_workspace_under_documents_elsewhere(platform, places):
    root, home = places
    make_comfyui(home / "comfy" / "ComfyUI")
    assert checkout.find_comfyui(root, home, platform) is None
    workspace = make_comfyui(home / "Documents" / "comfy" / "ComfyUI")
    assert checkout.find_comfyui(root, home, platform) == workspace


def test_a_wrong_comfyui_path_is_an_error_not_a_hint(places, tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(LaunchError, match=r"COMFYUI_PATH is .*nowhere, and that is no ComfyUI"):
        checkout.find_comfyui(*places)


@pytest.fixture
def repository(tmp_path):
    """A git repository with ComfyUI's files and the tag that launch.py asks for."""
    folder = make_comfyui(tmp_path / "upstream")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", checkout.COMFYUI_TAG]):
        subprocess.run([*git, *command], check=True, stdin=subprocess.DEVNULL)
    return folder


def test_clone_appears_only_when_whole(repository, tmp_path):
    target = tmp_path / "work" / "ComfyUI"
    leftover = tmp_path / "work" / "ComfyUI.partial" / "half"
    leftover.mkdir(parents=True)
    assert checkout.clone_comfyui(repository.as_uri(), target) == target
    assert checkout.is_comfyui(target) and not leftover.exists()


def test_a_repository_out_of_reach_is_said_and_leaves_nothing(tmp_path, capsys):
    target = tmp_path / "work" / "ComfyUI"
    assert checkout.clone_comfyui((tmp_path / "none").as_uri(), target) is None
    assert "could not be cloned: " in capsys.readouterr().out
    assert list(target.parent.iterdir()) == []


@pytest.fixture
def installs(tmp_path, monkeypatch):
    """A checkout whose set-up makes a real .venv, but only notes what it would install."""
    noted: list[tuple[list[str], bool]] = []
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".venv" / "set-up.json")
    monkeypatch.setattr(environment, "install", lambda wanted, tests: noted.append((wanted, tests)))
    (tmp_path / "pyproject.toml").write_text("one")
    return noted


def test_nothing_is_set_up_twice(installs, tmp_path):
    comfyui = make_comfyui(tmp_path / "ComfyUI")
    environment.set_up(comfyui)
    environment.set_up(comfyui)
    assert installs == [([*environment.TORCH, "-r", str(comfyui / "requirements.txt")], False)]
    environment.set_up(comfyui, tests=True)
    environment.set_up(comfyui, tests=True)
    environment.set_up(comfyui)  # the test extras contain all that a run needs
    assert len(installs) == 2
    for changed in (tmp_path / "pyproject.toml", comfyui / "requirements.txt"):
        changed.write_text("changed")
        environment.set_up(comfyui)
        environment.set_up(comfyui)
    assert len(installs) == 4
    environment.set_up(None)
    assert installs[-1] == (["torch==2.11.0"], False)


def test_an_interrupted_set_up_is_done_again(installs, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    noting = environment.install
    environment.set_up(None)
    (tmp_path / "pyproject.toml").write_text("two")
    monkeypatch.setattr(environment, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        environment.set_up(None)
    assert not environment.STAMP.exists()
    monkeypatch.setattr(environment, "install", noting)
    (tmp_path / "pyproject.toml").write_text("one")  # even back at the first state: .venv is half of the second
    environment.set_up(None)
    assert len(installs) == 2


def test_uv_is_told_the_index_that_pip_has(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.org/simple")
    assert environment.pip_index(sys.executable) == "https://index.example.org/simple"


def test_the_pack_is_linked_once_and_a_stale_link_is_renewed(tmp_path, monkeypatch):
    link = tmp_path / "custom_nodes" / "lumina-next"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "moved away")
    for _ in range(2):
        server.link_pack(tmp_path)
        assert (link / "pyproject.toml").samefile(ROOT / "pyproject.toml")


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert server.free_port(port) != port


@pytest.fixture
def stand_in(tmp_path):
    """Command line and address of the stand-in server."""
    port = server.free_port()
    (tmp_path / "server.py").write_text(SERVER)
    return [sys.executable, str(tmp_path / "server.py"), str(port)], f"http://127.0.0.1:{port}"


def test_a_workflow_gives_its_saved_images(stand_in, tmp_path):
    with server.serving(*stand_in, tmp_path / "log") as process:
        images = server.queue_workflow(process, stand_in[1], {"1": {}})
    assert [image["filename"] for image in images] == ["a.png"]
    assert process.poll() is not None


@pytest.mark.parametrize(("workflow", "message"), [("bad", "missing_node_type"), ("fails", "out of luck")])
def test_a_workflow_that_fails_is_an_error_with_the_log_and_ends_the_server(workflow, message, stand_in, tmp_path):
    with pytest.raises(LaunchError, match=rf"{message}[^\n]*\nIts log: .*log"):
        with server.serving(*stand_in, tmp_path / "log") as process:
            server.queue_workflow(process, stand_in[1], {workflow: {}})
    assert process.poll() is not None


def test_a_server_that_ends_at_once_is_not_waited_for(tmp_path):
    with pytest.raises(LaunchError, match=r"ended while starting \(exit code 3\)"):
        with server.serving([sys.executable, "-c", "raise SystemExit(3)"], "http://127.0.0.1:9", tmp_path / "log"):
            pass


def launch_py(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "launch.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, timeout=60)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, {}),  # beside the sources, as Python does
        ({"PYTHONDONTWRITEBYTECODE": "1"}, {"PYTHONPYCACHEPREFIX": str(ROOT / ".launch" / "pycache")}),
        ({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "elsewhere"}, {"PYTHONPYCACHEPREFIX": "elsewhere"}),
    ],
)
def test_compiled_modules_are_kept_where_the_user_wants_them(asked, kept, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(asked))
    environment.keep_compiled_modules()
    assert os.environ == kept


def test_help_names_the_three_commands():
    shown = launch_py("--help")
    assert shown.returncode == 0
    assert all(line in shown.stdout for line in ("launch.py   ", "launch.py test", "launch.py comfy"))


def test_errors_are_one_line_without_a_traceback(tmp_path):
    assert launch_py("paint").stderr == "launch.py: Unknown command 'paint'; see python3 launch.py --help\n"
    assert launch_py(COMFYUI_PATH=str(tmp_path)).stderr.startswith("launch.py: COMFYUI_PATH is ")


def test_the_workflow_it_runs_is_in_api_format():
    nodes = json.loads(commands.WORKFLOW.read_text(encoding="utf-8")).values()
    assert any(node["class_type"] == "SaveImage" for node in nodes)


@pytest.mark.parametrize(("cores", "processes"), [(1, []), (2, ["-n", "2"]), (64, ["-n", "4"])])
def test_the_whole_suite_has_a_process_for_each_core_and_a_part_of_it_one(cores, processes, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert commands.whole_suite(["-x"]) == ["tests", *processes]
    assert commands.whole_suite(["-x", "tests/test_launch.py::test_a_taken_port_is_passed_over"]) == []
