"""docs/api_client.py: addresses as people paste them. tests/host has it make a picture."""

import http.server
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "docs/api_client.py"
client = runpy.run_path(str(EXAMPLE))


@pytest.mark.parametrize(
    ("pasted", "address"),
    [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("http://127.0.0.1:8188/", "http://127.0.0.1:8188"),
        (" http://127.0.0.1:8188 \n", "http://127.0.0.1:8188"),
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("localhost:8188/", "http://localhost:8188"),
        ("//localhost:8188//", "http://localhost:8188"),
        ("comfy.local", "http://comfy.local"),
        ("HTTP://Host:8188/", "http://Host:8188"),
        ("https://host/proxy/8188/", "https://host/proxy/8188"),
        ("host/comfy", "http://host/comfy"),
        ("http://127.0.0.1:8188/#workflow", "http://127.0.0.1:8188"),
        ("http://127.0.0.1:8188/?token=1", "http://127.0.0.1:8188"),
        ("'http://127.0.0.1:8188/'", "http://127.0.0.1:8188"),
        ("<http://127.0.0.1:8188>", "http://127.0.0.1:8188"),
        ("[::1]:8188/", "http://[::1]:8188"),
        ("0.0.0.0:8188", "http://127.0.0.1:8188"),
        ("ws://127.0.0.1:8188", "http://127.0.0.1:8188"),
    ],
)
def test_addresses_as_people_paste_them(pasted, address):
    assert client["address"](pasted) == address


@pytest.mark.parametrize(
    "pasted", ["", " ", "http://", "ftp://host", "host:port", "host:99999", "two hosts", "C:\\x y"]
)
def test_what_is_no_address_is_said_so(pasted):
    with pytest.raises(ValueError, match="is no address, expected one such as http://127.0.0.1:8188"):
        client["address"](pasted)


@pytest.fixture
def stand_in():
    """A server that notes what it is asked for: its port, and the paths."""
    asked = []

    class Comfy(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.requestline.split()[1])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"prompt_id": "1"}')

        def do_GET(self):
            asked.append(self.requestline.split()[1])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"1": {"status": {"messages": []}, "outputs": {}}}')

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Comfy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", " 127.0.0.1:{}/ "])
def test_every_form_asks_for_the_same_paths(stand_in, form):
    port, asked = stand_in
    server = form.format(port)
    assert client["queue"](server, {}) == "1"
    assert client["pictures"](server, client["wait"](server, "1", 5)) == []
    assert asked == ["/prompt", "/history/1"]


def test_a_path_in_front_is_kept(stand_in):
    port, asked = stand_in
    client["queue"](f"127.0.0.1:{port}/comfy/", {})
    assert asked == ["/comfy/prompt"]


def test_a_wrong_address_is_one_line(tmp_path):
    command = [sys.executable, str(EXAMPLE), "x", "--server", "host:port", "-o", str(tmp_path / "x.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("api_client: --server 'host:port' is no address") and done.stderr.count("\n") == 1
