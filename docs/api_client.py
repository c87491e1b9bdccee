"""Make pictures on a running ComfyUI from plain Python: nothing but the standard library.

    python docs/api_client.py "red apple" --seed 7 -o apple.png

Start ComfyUI first (`python3 launch.py comfy`). The graph is one of workflows/api/; any of your own, saved with
*Export (API)*, works the same.
"""

import argparse
import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

WORKFLOW = Path(__file__).resolve().parents[1] / "workflows/api/text_to_image.json"


class ComfyError(RuntimeError):
    """The server refused the graph, or a node failed."""


def address(server: str) -> str:
    """Return a server's address as people paste it (no scheme, spaces, a slash at the end) as a URL to add paths to.

    What follows "?" or "#" is dropped. ValueError says what an address looks like.
    """
    text = server.strip().strip("\"'<>").strip()
    parts = urllib.parse.urlsplit(text if "://" in text else f"http://{text.lstrip('/')}")
    try:
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        right = scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, or too large
        right = False
    if not right or any(sign.isspace() for sign in text):
        raise ValueError(f"--server {server!r} is no address, expected one such as http://127.0.0.1:8188")
    # ComfyUI started with --listen prints 0.0.0.0, which is every address of its machine and not one to connect to.
    host = parts.netloc.replace("0.0.0.0", "127.0.0.1") if parts.hostname == "0.0.0.0" else parts.netloc
    return f"{scheme}://{host}{parts.path.rstrip('/')}"


def call(url: str, body: dict | None = None):
    """Return the decoded JSON answer of a GET, or of a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ComfyError(f"{url} answered {error.code}: {error.read().decode(errors='replace')}") from error
    except ValueError as error:
        raise ComfyError(f"{url} did not answer in JSON: is that ComfyUI's address?") from error


def queue(server: str, graph: dict) -> str:
    """Queue a graph in API format and return its id."""
    return call(f"{address(server)}/prompt", {"prompt": graph})["prompt_id"]


def wait(server: str, prompt_id: str, seconds: float) -> dict:
    """Return the history entry of a prompt once it has ended; ComfyError if a node failed, TimeoutError if too late."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        entry = call(f"{address(server)}/history/{prompt_id}").get(prompt_id)
        if entry is None:
            time.sleep(0.3)
            continue
        for kind, data in entry["status"]["messages"]:
            if kind == "execution_error":
                raise ComfyError(f"{data['node_type']}: {data['exception_message']}")
        return entry
    raise TimeoutError(f"prompt {prompt_id} has not ended within {seconds:g} s")


def pictures(server: str, entry: dict) -> list[bytes]:
    """Download what the SaveImage nodes of a prompt have saved: PNG files with the graph in their metadata."""
    saved = [image for output in entry["outputs"].values() for image in output.get("images", [])]
    found = []
    for image in (image for image in saved if image["type"] == "output"):
        with urllib.request.urlopen(f"{address(server)}/view?{urllib.parse.urlencode(image)}", timeout=60) as answer:
            found.append(answer.read())
    return found


def change(graph: dict, class_type: str, title: str | None = None, **inputs) -> None:
    """Set inputs of every node of a class, or of those with a title."""
    nodes = [n for n in graph.values() if n["class_type"] == class_type and title in (None, n["_meta"]["title"])]
    if not nodes:
        raise KeyError(f"the graph has no {class_type} node{f' titled {title!r}' if title else ''}")
    for node in nodes:
        node["inputs"].update(inputs)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("prompt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--seconds", type=float, default=600, help="how long to wait")
    parser.add_argument("-o", "--output", type=Path, default=Path("picture.png"))
    options = parser.parse_args(arguments)
    graph = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    change(graph, "CLIPTextEncode", title="Prompt", text=options.prompt)
    change(graph, "KSampler", seed=options.seed)
    try:
        (picture,) = pictures(options.server, wait(options.server, queue(options.server, graph), options.seconds))
    except (ComfyError, TimeoutError, ValueError, OSError, http.client.HTTPException) as error:
        print(f"api_client: {error}", file=sys.stderr)
        return 1
    options.output.write_bytes(picture)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
