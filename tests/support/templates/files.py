"""The files of workflows/ and subgraphs/ that are made of a folded graph."""

import re
import uuid
from copy import deepcopy

from .fold import NAMESPACE, fold, relink
from .pictures import SAVERS
from .spec import Blueprint, Template, ids


def clean(node: dict, links: dict[str, tuple[str, str]]) -> None:
    """Drop what says the same in every file, and add where a loader's file is to be had."""
    node["properties"] = {"Node name for S&R": node["type"]}
    node["flags"] = {}
    if str(node["id"]) in links:
        url, directory = links[str(node["id"])]
        node["properties"]["models"] = [{"name": url.rsplit("/", 1)[1], "url": url, "directory": directory}]


def workflow(flat: dict, template: Template) -> dict:
    """A flat graph as the template's: boxes, a note, an id of its own."""
    for node in flat["nodes"]:
        clean(node, template.links)
    graph = fold(flat, template.boxes, template.api)
    graph["last_node_id"] += 1
    graph["nodes"].append(note_node(template, graph["last_node_id"]))
    extra = {"workflowRendererVersion": "LG", "lumina-next": template.api}  # the name, for web/workflows/language.js
    return graph | {"id": identity(template.api), "groups": [], "extra": extra}


def identity(name: str) -> str:
    """An id for a graph, the same at each build; the editor keeps what it remembers of a graph under it."""
    return str(uuid.uuid5(NAMESPACE, name))


def app(graph: dict, template: Template) -> dict:
    """The same workflow as a form: its widgets, and the picture or clip that it saves."""
    graph, inputs = deepcopy(graph), {}
    for node in graph["nodes"]:
        inputs |= {slot["label"]: [node["id"], slot["name"]] for slot in node["inputs"] if slot.get("label")}
    saved = [node["id"] for node in graph["nodes"] if node["type"] in SAVERS]
    data = {"inputs": [inputs[label] for label in template.app], "outputs": saved}
    return graph | {
        "id": identity(f"{template.api}.app"),
        "extra": graph["extra"] | {"linearMode": True, "linearData": data},
    }


def blueprint(flat: dict, wanted: Blueprint) -> dict:
    """A graph of one box, with inputs and outputs free."""
    for node in flat["nodes"]:
        clean(node, wanted.links)
    inside, leaving = set(map(int, ids(wanted.box.nodes))), set(map(int, ids(wanted.outputs)))
    flat["links"] = [
        link for link in flat["links"] if link[3] in inside or (link[1] in leaving and link[3] not in inside)
    ]
    graph = fold(flat, [wanted.box], wanted.title)
    (host,) = (node for node in graph["nodes"] if node["id"] == graph["last_node_id"])
    relink([host], [])
    (definition,) = graph["definitions"]["subgraphs"]
    host["title"] = definition["name"] = wanted.title
    definition |= {"category": "Lumina-Next", "description": wanted.about}
    return {
        "revision": 0,
        "last_node_id": host["id"],
        "last_link_id": 0,
        "nodes": [host],
        "links": [],
        "version": 0.4,
        "definitions": graph["definitions"],
        "extra": {"BlueprintDescription": wanted.about},
    }


def note_node(template: Template, number: int) -> dict:
    return {
        "id": number,
        "type": "MarkdownNote",
        "title": "Note",
        "pos": [0, 0],
        "size": [360, 200],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [f"## {template.title}\n\n{flow(template.note)}"],
    }


def flow(text: str) -> str:
    """Lines that belong together as one; Markdown as the editor shows it breaks at line ends."""
    return re.sub(r"(?<!\n)\n(?!\n|- )\s*", " ", text)
