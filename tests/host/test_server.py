"""The pack inside a real server: what it registers, what it serves, what it costs."""

import json
import re
import urllib.request
from urllib.parse import quote

import pytest

from lumina_next.tests.support.comfy_server import PACK, ComfyServer
from lumina_next.tests.support.templates.catalogue import TITLES

INTERFACE = json.loads((PACK / "tests/nodes/interface.json").read_text(encoding="utf-8"))
NODES = set(INTERFACE)
HEAVY = ("transformers.models", "flash_attn", "diffusers", "torchdiffeq")


@pytest.fixture(scope="module")
def nodes(server) -> dict:
    """The server's description of every node of the pack."""
    return {k: v for k, v in server.get("/object_info").items() if k.startswith("LuminaNext")}


def shown(node: dict) -> list[dict]:
    """The inputs that people see: output nodes have hidden ones too, which hold the prompt."""
    return [inputs for section, inputs in node["input"].items() if section != "hidden"]


def test_every_node_is_registered(nodes):
    assert NODES <= set(nodes)


def test_every_node_can_be_found_and_is_explained(nodes):
    for name, node in nodes.items():
        assert node["category"].startswith("Lumina-Next"), name
        assert node["description"], name
        for section in shown(node):
            for argument, (_, *options) in section.items():
                assert options and options[0].get("tooltip"), f"{name}.{argument} has no tooltip"


def test_the_inputs_of_each_choice_are_explained_too(nodes):
    choices = [
        (f"{name}.{argument}.{option['key']}", option["inputs"])
        for name, node in nodes.items()
        for section in shown(node)
        for argument, (kind, *options) in section.items()
        if kind == "COMFY_DYNAMICCOMBO_V3"
        for option in options[0]["options"]
    ]
    assert choices
    for place, sections in choices:
        for section in sections.values():
            for argument, (_, *options) in section.items():
                assert options and options[0].get("tooltip"), f"{place}.{argument} has no tooltip"


def test_help_pages_are_served_in_three_languages(server, nodes):
    for name in nodes:
        for page in (f"{name}.md", f"{name}/zh.md", f"{name}/ja.md"):
            with urllib.request.urlopen(f"{server.url}/extensions/lumina-next/docs/{page}") as answer:
                assert len(answer.read()) > 100, page


def test_every_input_has_a_name_and_a_tooltip_in_every_language(server, nodes):
    translations = server.get("/i18n")
    for language in ("en", "zh", "ja"):
        strings = translations[language]["nodeDefs"]
        for name, node in nodes.items():
            assert strings[name]["display_name"] and strings[name]["description"], (language, name)
            for section in shown(node):
                for argument in section:
                    assert strings[name]["inputs"][argument]["tooltip"], (language, name, argument)


def test_workflows_are_offered_as_templates_with_pictures(server):
    listed = server.get("/workflow_templates")
    assert set(listed["lumina-next"]) == {file.stem for file in (PACK / "workflows").glob("*.json")}
    assert "api" not in listed and "workflows" not in listed
    for name in listed["lumina-next"]:
        with urllib.request.urlopen(f"{server.url}/api/workflow_templates/lumina-next/{quote(name)}.jpg") as answer:
            assert answer.read(3) == b"\xff\xd8\xff", name


@pytest.mark.parametrize("name", ["text_to_image", "official_2k", "text_and_image_to_views"])
def test_a_link_with_an_old_name_leads_to_the_workflow(server, name):
    new = PACK / f"workflows/{TITLES[name]}.json"
    with urllib.request.urlopen(f"{server.url}/api/workflow_templates/lumina-next/{name}.json") as answer:
        assert answer.url.endswith(f"/{quote(new.name)}") and json.load(answer) == json.loads(new.read_text())


def test_start_up_costs_less_than_a_second(server):
    costs = re.findall(r"([\d.]+) seconds: \S*custom_nodes/lumina-next$", server.log(), re.MULTILINE)
    assert len(costs) == 1, f"no import time in the log:\n{server.log(60)}"
    assert float(costs[0]) < 1.0


def test_start_up_imports_nothing_heavy(server, comfyui, tmp_path):
    with ComfyServer(comfyui, tmp_path, pack_name=None) as plain:
        already = set(plain.get("/probe/modules"))
        assert not any(name.startswith("LuminaNext") for name in plain.get("/object_info"))
    added = server.modules_at_start - already
    assert [name for name in added if name.startswith(HEAVY)] == []
    assert any(".nodes.loaders.load_model" in name for name in added), "the probe does not see the pack"


def test_the_folder_may_have_any_name(comfyui, tmp_path):
    with ComfyServer(comfyui, tmp_path, pack_name="ComfyUI-Lumina.Next-v0.1") as oddly_named:
        assert NODES <= set(oddly_named.get("/object_info"))
        assert "ComfyUI-Lumina.Next-v0.1" in oddly_named.get("/workflow_templates")
