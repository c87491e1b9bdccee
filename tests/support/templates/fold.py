"""A flat graph of the editor into one with subgraphs: boxes become nodes, their nodes a definition."""

import uuid
from copy import deepcopy

from .spec import Box, ids

NAMESPACE = uuid.UUID("2f0b7f0a-0f52-5a51-9d0c-0d5f6d9f6c11")
INPUT, OUTPUT = -10, -20  # the ids of a subgraph's own ends
ID, FROM, FROM_SLOT, TO, TO_SLOT, TYPE = range(6)


def fold(graph: dict, boxes: list[Box], name: str) -> dict:
    """A copy of a serialised flat graph with every box as one node; `name` makes the ids, the same at each build."""
    graph = deepcopy(graph)
    graph["definitions"] = {"subgraphs": []}
    for box in boxes:
        Folding(graph, box, name).run()
    if not boxes:
        del graph["definitions"]
    relink(graph["nodes"], graph["links"])
    graph["last_node_id"] = max(node["id"] for node in graph["nodes"])
    graph["last_link_id"] = max((link[ID] for link in all_links(graph)), default=0)
    return graph


def relink(nodes: list[dict], links: list[list]) -> None:
    """Write the links into the nodes' inputs and outputs."""
    by_id = {node["id"]: node for node in nodes}
    for node in nodes:
        for slot in node.get("inputs", []):
            slot["link"] = None
        for slot in node.get("outputs", []):
            slot["links"] = []
    for link in links:
        if link[FROM] in by_id:
            by_id[link[FROM]]["outputs"][link[FROM_SLOT]]["links"].append(link[ID])
        if link[TO] in by_id:
            by_id[link[TO]]["inputs"][link[TO_SLOT]]["link"] = link[ID]


def all_links(graph: dict) -> list[list]:
    """The links of a graph and of its subgraphs."""
    inner = [
        list(link.values()) for part in graph.get("definitions", {}).get("subgraphs", []) for link in part["links"]
    ]
    return graph["links"] + inner


class Folding:
    """One box on its way into the graph."""

    def __init__(self, graph: dict, box: Box, name: str):
        self.graph, self.box, self.name = graph, box, name
        members = {int(i) for i in ids(box.nodes)}
        self.nodes = {node["id"]: node for node in graph["nodes"] if node["id"] in members}
        if missing := members - set(self.nodes):
            raise ValueError(f"{name}: box {box.title} names nodes {sorted(missing)}, which are not there")
        self.next_node = max(node["id"] for node in graph["nodes"]) + 1
        self.next_link = max(link[ID] for link in all_links(graph)) + 1
        self.inputs: list[dict] = []  # of the node on the outside
        self.values: list = []  # of the outside's widgets, in the order of the inputs
        self.outputs: list[dict] = []
        self.ends: dict[str, list[dict]] = {"inputs": [], "outputs": []}  # of the definition
        self.links: list[dict] = []

    def run(self) -> None:
        kept = []
        for link in self.graph["links"]:
            inside = link[FROM] in self.nodes, link[TO] in self.nodes
            if inside == (False, False):
                kept.append(link)
            elif inside == (True, True):
                self.link(*link)
        for source in self.crossing(FROM, TO):
            kept.append(self.enter(source))
        for source in self.crossing(TO, FROM):
            kept += self.leave(source)
        for label, places in self.box.widgets.items():
            self.promote(label, [place.split(".", 1) for place in places.split()])
        relink(list(self.nodes.values()), [list(link.values()) for link in self.links])
        self.graph["links"] = kept
        self.graph["nodes"] = [n for n in self.graph["nodes"] if n["id"] not in self.nodes] + [self.host()]
        self.graph["definitions"]["subgraphs"].append(self.definition())

    def crossing(self, outside: int, inside: int) -> list[list[list]]:
        """The links with one end outside the box, in lists of those that share their source."""
        groups: dict[tuple, list] = {}
        for link in self.graph["links"]:
            if link[outside] not in self.nodes and link[inside] in self.nodes:
                groups.setdefault((link[FROM], link[FROM_SLOT]), []).append(link)
        return list(groups.values())

    def enter(self, links: list[list]) -> list:
        """Several links from one source outside become one to the box, and one each within."""
        target = self.slot(links[0][TO], "inputs", links[0][TO_SLOT])
        slot, link = len(self.inputs), links[0]
        inner = [self.link(each[ID], INPUT, slot, each[TO], each[TO_SLOT], each[TYPE]) for each in links[1:]]
        first = self.link(self.new_link(), INPUT, slot, link[TO], link[TO_SLOT], link[TYPE])
        number = target["name"].removeprefix("inputs.input")  # of a list that grows
        label = f"image {int(number) + 1}" if number != target["name"] else ""
        end = self.end("inputs", target["name"], link[TYPE], [first, *inner], label)
        face = {k: end[k] for k in ("name", "label") if k in end} | {"type": link[TYPE], "link": None}
        if "widget" in target:  # the editor gives the box a widget for it, linked or not
            face["widget"] = {"name": end["name"]}
            self.values.append(self.nodes[link[TO]]["widgets_values_named"][target["name"]])
        self.inputs.append(face)
        return [link[ID], link[FROM], link[FROM_SLOT], self.next_node, slot, link[TYPE]]

    def leave(self, links: list[list]) -> list[list]:
        """Links from one source inside leave the box by one output."""
        link, slot = links[0], len(self.outputs)
        output = self.slot(link[FROM], "outputs", link[FROM_SLOT])
        name = self.name_outside(link) if link[TYPE] == "CONDITIONING" else output["name"]
        inner = self.link(self.new_link(), link[FROM], link[FROM_SLOT], OUTPUT, slot, link[TYPE])
        end = self.end("outputs", name, link[TYPE], [inner])
        self.outputs.append({"name": end["name"], "type": link[TYPE], "links": []})
        return [[each[ID], self.next_node, slot, each[TO], each[TO_SLOT], each[TYPE]] for each in links]

    def name_outside(self, link: list) -> str:
        """How the node that a link goes to calls it: conditionings are told apart by that alone."""
        target = next(node for node in self.graph["nodes"] if node["id"] == link[TO])
        return target["inputs"][link[TO_SLOT]]["name"]

    def promote(self, label: str, places: list[list[str]]) -> None:
        """Show a widget of an inner node, or of several, on the box."""
        slot, links, kind = len(self.inputs), [], ""
        for node, widget in places:
            names = [i["name"] for i in self.nodes[int(node)]["inputs"]]
            if widget not in names:
                raise ValueError(f"{self.name}: node {node} has no input {widget!r}, only {names}")
            place = names.index(widget)
            kind = self.nodes[int(node)]["inputs"][place]["type"]
            links.append(self.link(self.new_link(), INPUT, slot, int(node), place, kind))
        name = self.end("inputs", places[0][1], kind, links, label)["name"]
        self.values.append(self.nodes[int(places[0][0])]["widgets_values_named"][places[0][1]])
        self.inputs.append({"label": label, "name": name, "type": kind, "widget": {"name": name}, "link": None})

    def link(self, number, origin, origin_slot, target, target_slot, kind) -> int:
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        self.links.append(dict(zip(keys, (number, origin, origin_slot, target, target_slot, kind), strict=True)))
        return number

    def slot(self, node: int, side: str, place: int) -> dict:
        return self.nodes[node][side][place]

    def end(self, side: str, name: str, kind: str, links: list[int], label: str = "") -> dict:
        """An input or output of the definition, its name made unique."""
        taken, unique, count = {end["name"] for end in self.ends[side]}, name, 1
        while unique in taken:
            unique, count = f"{name}_{count}", count + 1
        number = uuid.uuid5(NAMESPACE, f"{self.name}/{self.box.title}/{side}/{unique}")
        end = {"id": str(number), "name": unique, "type": kind, "linkIds": links} | ({"label": label} if label else {})
        self.ends[side].append(end)
        return end

    def new_link(self) -> int:
        self.next_link += 1
        return self.next_link - 1

    def host(self) -> dict:
        return {
            "id": self.next_node,
            "type": self.definition_id,
            "title": self.box.title,
            "pos": [0, 0],
            "size": [300, 100],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "properties": {"previewExposures": []},
            "widgets_values": self.values,
        }

    @property
    def definition_id(self) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{self.name}/{self.box.title}"))

    def definition(self) -> dict:
        return {
            "id": self.definition_id,
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": max(self.nodes),
                "lastLinkId": max((link["id"] for link in self.links), default=0),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.box.title,
            "inputNode": {"id": INPUT, "bounding": [0, 0, 120, 60]},
            "outputNode": {"id": OUTPUT, "bounding": [0, 0, 120, 60]},
            **self.ends,
            "widgets": [],
            "nodes": list(self.nodes.values()),
            "groups": [],
            "links": self.links,
            "extra": {"workflowRendererVersion": "LG"},
        }
