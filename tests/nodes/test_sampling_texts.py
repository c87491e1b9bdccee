"""The words of the sampling and patch nodes: a translation for every input, and a help page in every language."""

import json
from pathlib import Path

import pytest

from lumina_next.nodes.conditioning.camera_ring import CameraRing
from lumina_next.nodes.conditioning.multi_view import MultiView
from lumina_next.nodes.loaders.load_lora import LoadLora
from lumina_next.nodes.model.context_drop import DropContext
from lumina_next.nodes.model.scaled_rope import ScaledRope
from lumina_next.nodes.sampling.channel_guidance import ChannelGuidance
from lumina_next.nodes.sampling.flow_sampler import FlowSampler
from lumina_next.nodes.sampling.flow_schedule import FlowSchedule

ROOT = Path(__file__).parents[2]
NODES = [FlowSchedule, FlowSampler, ChannelGuidance, ScaledRope, DropContext, LoadLora, CameraRing, MultiView]


def keys(schema):
    """Return the editor's names of a node's inputs; it writes an option's own as <input>_<name>."""
    found = []
    for entry in schema.inputs:
        found.append(entry.id)
        for option in getattr(entry, "options", None) or []:
            found += [f"{entry.id}_{child.id}" for child in getattr(option, "inputs", [])]
    return found


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_every_input_and_output_is_translated(node, language):
    schema = node.define_schema()
    words = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))[schema.node_id]
    assert words["display_name"] and words["description"]
    assert list(words["inputs"]) == keys(schema)
    assert all(text["name"] and text["tooltip"] for text in words["inputs"].values())
    assert list(words["outputs"]) == [str(i) for i in range(len(schema.outputs))]
    if language == "en":
        assert (words["display_name"], words["description"]) == (schema.display_name, schema.description)


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_its_help_pages(node):
    schema = node.define_schema()
    docs = ROOT / "web" / "docs"
    for page in (docs / f"{schema.node_id}.md", docs / schema.node_id / "zh.md", docs / schema.node_id / "ja.md"):
        text = page.read_text("utf-8")
        assert text.startswith("# ")
        for key in keys(schema):
            assert f"`{key.removeprefix('schedule_').removeprefix('method_')}`" in text or key == "method", (
                page.name,
                key,
            )


@pytest.mark.parametrize("node", NODES)
def test_every_input_has_a_tooltip(node):
    assert all(entry.tooltip for entry in node.define_schema().inputs)
