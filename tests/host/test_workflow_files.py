"""The editor files themselves: known nodes, tidy layout, pictures, links to the weights."""

import json
import uuid

import pytest
from PIL import Image

from lumina_next.tests.support.comfy_server import PACK

WORKFLOWS = PACK / "workflows"
FILES = sorted(WORKFLOWS.glob("*.json"))
TITLE = 30  # pixels that a node's title bar stands above its position
NOTES = {"MarkdownNote", "Note"}

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def nodes_of(file) -> list[dict]:
    return json.loads(file.read_text())["nodes"]


def box(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


@pytest.fixture(scope="module")
def known(server) -> set[str]:
    """The types that a node may have."""
    return set(server.get("/object_info")) | NOTES


@every_file
def test_nodes_exist_and_have_numeric_ids(known, file):
    graph = json.loads(file.read_text())
    assert {node["type"] for node in graph["nodes"]} <= known
    ids = [node["id"] for node in graph["nodes"]]
    # The editor keeps widget values by graph id; without one of its own a workflow shows another one's notes.
    assert uuid.UUID(graph["id"]).int
    assert all(isinstance(i, int) for i in ids) and graph["last_node_id"] == max(ids)


@every_file
def test_values_with_names_are_those_without(file):
    for node in nodes_of(file):
        if named := node.get("widgets_values_named"):
            assert list(named.values()) == node["widgets_values"], node["type"]


@every_file
def test_nodes_do_not_overlap(file):
    boxes = [(node["title"] if "title" in node else node["type"], box(node)) for node in nodes_of(file)]
    for i, (name, (left, top, right, bottom)) in enumerate(boxes):
        for other, (x0, y0, x1, y1) in boxes[i + 1 :]:
            assert x0 >= right or x1 <= left or y0 >= bottom or y1 <= top, f"{name} lies over {other}"


@every_file
def test_has_a_note_and_a_picture(file):
    notes = [node["widgets_values"][0] for node in nodes_of(file) if node["type"] in NOTES]
    assert notes and all(len(note) > 100 for note in notes)
    with Image.open(file.with_suffix(".jpg")) as picture:
        assert min(picture.size) >= 256


@every_file
def test_either_runs_at_once_or_says_where_the_weights_are(file):
    if (WORKFLOWS / "api" / file.name).exists():
        return
    loaders = [node for node in nodes_of(file) if node["type"] in {"LuminaNextLoadModel", "VAELoader", "UNETLoader"}]
    links = [link for node in loaders for link in node["properties"].get("models", [])]
    assert links
    for node in loaders:
        for link in node["properties"].get("models", []):
            assert set(link) == {"name", "url", "directory"}
            assert link["url"].startswith("https://huggingface.co/") and "/resolve/main/" in link["url"]
            assert link["url"].endswith(link["name"]) and link["name"] in node["widgets_values"]
