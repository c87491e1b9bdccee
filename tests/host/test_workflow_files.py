"""The editor files themselves: known nodes, room between them, pictures, notes, links to the weights."""

import json
import re
import uuid

import pytest
from PIL import Image

from lumina_next.tests.support.comfy_server import PACK
from lumina_next.tests.support.templates.catalogue import BLUEPRINTS, TEMPLATES, TITLES

WORKFLOWS = PACK / "workflows"
FILES = sorted(WORKFLOWS.glob("*.json"))
TITLE = 30  # pixels that a node's title bar stands above its position
GAP = 50
NOTES = {"MarkdownNote", "Note"}
LARGEST_PICTURE = 300_000  # bytes

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def parts(graph: dict) -> list[dict]:
    """A graph and the definitions of its boxes."""
    return [graph, *graph.get("definitions", {}).get("subgraphs", [])]


def nodes_of(file) -> list[dict]:
    """All nodes of a file, those in boxes too."""
    return [node for part in parts(json.loads(file.read_text())) for node in part["nodes"]]


def notes_of(file) -> list[str]:
    return [node["widgets_values"][0] for node in nodes_of(file) if node["type"] in NOTES]


def box(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def test_every_template_has_its_files_and_no_other_is_there():
    titles = {template.title for template in TEMPLATES}
    assert {file.stem for file in (WORKFLOWS / "api").glob("*.json")} == set(TITLES)
    apps = {f"{template.title}.app" for template in TEMPLATES if template.app}
    assert {file.stem for file in FILES} == titles | apps and len(apps) >= 3
    assert {file.stem for file in (PACK / "subgraphs").glob("*.json")} == {b.title for b in BLUEPRINTS}


@pytest.fixture(scope="module")
def known(server) -> set[str]:
    """The types that a node may have."""
    return set(server.get("/object_info")) | NOTES


@every_file
def test_nodes_exist_and_have_numeric_ids(known, file):
    graph = json.loads(file.read_text())
    boxes = {part["id"] for part in parts(graph)[1:]}
    assert {node["type"] for node in nodes_of(file)} <= known | boxes
    ids = [node["id"] for node in graph["nodes"]]
    # The editor keeps widget values by graph id; without one of its own a workflow shows another one's notes.
    assert uuid.UUID(graph["id"]).int
    assert all(isinstance(i, int) for i in ids) and graph["last_node_id"] == max(ids)


def test_ids_differ():
    graphs = [json.loads(file.read_text()) for file in FILES]
    assert len({graph["id"] for graph in graphs}) == len(graphs)


@every_file
def test_values_with_names_are_those_without(file):
    for node in nodes_of(file):
        if named := node.get("widgets_values_named"):
            assert list(named.values()) == node["widgets_values"], node["type"]


@every_file
def test_nodes_keep_their_distance(file):
    for part in parts(json.loads(file.read_text())):
        boxes = [(node.get("title", node["type"]), box(node)) for node in part["nodes"]]
        for i, (name, (left, top, right, bottom)) in enumerate(boxes):
            for other, (x0, y0, x1, y1) in boxes[i + 1 :]:
                apart = max(x0 - right, left - x1, y0 - bottom, top - y1)
                assert apart >= GAP, f"{name} is {apart} pixels from {other}"


@every_file
def test_has_a_note_and_a_picture(file):
    (note,) = notes_of(file)
    assert len(note) > 100 and "`" not in note, "the editor draws a blue block behind code"
    picture = file.with_suffix(".jpg")
    with Image.open(picture) as opened:
        assert opened.format == "JPEG" and opened.width == opened.height >= 256
    assert picture.stat().st_size < LARGEST_PICTURE


def test_the_first_workflow_does_not_lead_to_two_foxes():
    (note,) = notes_of(WORKFLOWS / "Text to image.json")
    assert not re.search(r"128\s*[×x]\s*96", note), "above the training size the object repeats without Scaled RoPE"


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t.card], ids=lambda template: template.api)
def test_official_workflows_say_where_the_weights_are(template):
    file = WORKFLOWS / f"{template.title}.json"
    loaders = [node for node in nodes_of(file) if node["properties"].get("models")]
    (note,) = notes_of(file)
    folders = [node["widgets_values"][0] for node in nodes_of(file) if node["type"] == "LuminaNextLoadAudioModel"]
    assert loaders or folders  # the editor offers files to download, not folders
    assert all(f"[{name}](https://huggingface.co/Alpha-VLLM/{name}/tree/main)" in note for name in folders)
    for node in loaders:
        for link in node["properties"]["models"]:
            assert set(link) == {"name", "url", "directory"}
            assert link["url"].startswith("https://huggingface.co/") and "/resolve/main/" in link["url"]
            assert link["url"].endswith(link["name"]) and link["name"] in node["widgets_values"]
            assert link["url"] in note
    encoders = [n for n in nodes_of(file) if n["type"] in ("LuminaNextLoadTextEncoder", "CLIPLoader")]
    assert len(encoders) == (template.api != "official_class_to_image" and not folders)
    assert all(node["widgets_values"][0] in note for node in encoders), "the note says nothing of the text encoder"
