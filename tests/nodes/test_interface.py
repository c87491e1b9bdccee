"""A workflow saved today opens after the next release, and means the same."""

import copy
import json
import re
from types import SimpleNamespace

import pytest

from lumina_next.tests.support.comfy_server import PACK

from .interface import COMMAND, FILE, breaks, describe

RECORDED = json.loads(FILE.read_text(encoding="utf-8"))
ADVICE = f"""
Workflows that people have saved would break. Optional inputs and outputs added at the end are fine: run
`{COMMAND}`. To rename a node or an input, keep the old workflows alive through ComfyUI's replacement door: in
LuminaNextExtension.on_load, await ComfyAPI().node_replacement.register(io.NodeReplace(new_node_id, old_node_id,
old_widget_ids=[…], input_mapping=[{{"new_id": …, "old_id": …}}])), where ComfyUI has it (not yet in 0.3.64)."""


def test_no_saved_workflow_breaks():
    problems = breaks(RECORDED, describe())
    assert not problems, "\n".join(problems) + ADVICE


def test_the_record_is_up_to_date():
    assert json.loads(json.dumps(describe())) == RECORDED, f"run {COMMAND}"


def first(node: dict) -> dict:
    return node["inputs"][0]


def fade(new: dict) -> dict:
    return next(entry for entry in new["LuminaNextContextDrop"]["inputs"] if entry["id"] == "fade")


CHANGES = {
    "is gone": lambda new: new.pop("LuminaNextFlowSampler"),
    "must stay in front": lambda new: new["LuminaNextContextDrop"]["inputs"].reverse(),
    "is not optional": lambda new: new["LuminaNextFlowSampler"]["inputs"].append({"id": "x", "type": "INT"}),
    "default was linear, is none": lambda new: fade(new).update(default="none"),
    "no longer offers none": lambda new: fade(new)["options"].remove("none"),
    "no longer offers rk4": lambda new: first(new["LuminaNextFlowSampler"])["options"].pop("rk4"),
    "schedule.rational: inputs were": lambda new: first(new["LuminaNextFlowSchedule"])["options"].update(rational=[]),
    "outputs were": lambda new: new["LuminaNextLoadLora"]["outputs"].pop(0),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_breaking_change_is_noticed(says):
    changed = copy.deepcopy(RECORDED)
    CHANGES[says](changed)
    (problem,) = breaks(RECORDED, changed)
    assert says in problem


def test_additions_at_the_end_are_fine():
    changed = copy.deepcopy(RECORDED)
    changed["LuminaNextFlowSampler"]["inputs"].append({"id": "x", "type": "INT", "optional": True})
    changed["LuminaNextFlowSampler"]["outputs"].append({"type": "STRING", "name": "report"})
    changed["LuminaNextNew"] = {"inputs": [], "outputs": []}
    first(changed["LuminaNextFlowSampler"])["options"]["rk45"] = []
    fade(changed)["options"].append("smooth")
    assert breaks(RECORDED, changed) == []


def test_the_replacement_door_renames_a_node_of_ours(monkeypatch):
    """What the advice says, tried on ComfyUI's own manager: an old id with an old input name."""
    manager_of = pytest.importorskip("app.node_replace_manager", reason="this ComfyUI has no replacement door")
    from comfy_api.latest import io

    from lumina_next.nodes.sampling.flow_sampler import FlowSampler

    registered = SimpleNamespace(NODE_CLASS_MAPPINGS={"LuminaNextFlowSampler": FlowSampler})
    monkeypatch.setattr(manager_of, "nodes", registered)
    manager = manager_of.NodeReplaceManager()
    mapping = [{"new_id": "method", "old_id": "solver"}]
    manager.register(io.NodeReplace("LuminaNextFlowSampler", "LuminaNextSolver", ["solver"], mapping))
    prompt = {"1": {"class_type": "LuminaNextSolver", "inputs": {"solver": "heun"}, "_meta": {"title": "Solver"}}}
    manager.apply_replacements(prompt)
    assert (prompt["1"]["class_type"], prompt["1"]["inputs"]) == ("LuminaNextFlowSampler", {"method": "heun"})


def test_what_the_oldest_release_has_no_place_for_goes_through_the_adapter():
    """0.3.64 drops a node, with a line in its log, whose schema has an argument that it does not know."""
    for file in (PACK / "nodes").rglob("*.py"):
        if file.name != "schema.py":
            assert not re.search(r"\badvanced=|\bio\.Schema\(", file.read_text(encoding="utf-8")), file
