"""The boxes of subgraphs/ in the editor's node library: offered, registered, readable inside, and each runs."""

import json

import pytest

from lumina_next.tests.host.test_editor import HEIGHT, WIDTH, for_stand_ins, to_api
from lumina_next.tests.support.comfy_server import PACK
from lumina_next.tests.support.graphs import TextToImage
from lumina_next.tests.support.templates import page
from lumina_next.tests.support.templates.catalogue import BLUEPRINTS

REGISTERED = """document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s.get("subgraph")
  .subgraphBlueprints.map(box => [box.display_name, box.category, box.description])"""
every_blueprint = pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda blueprint: blueprint.box.title)


def open_blueprint(editor, blueprint) -> None:
    graph = json.loads((PACK / f"subgraphs/{blueprint.title}.json").read_text(encoding="utf-8"))
    page.open_template(editor, graph, blueprint.title)


def test_the_server_offers_them(server):
    listed = server.get("/global_subgraphs").values()
    ours = {entry["name"] for entry in listed if entry["info"]["node_pack"] == "custom_nodes.lumina-next"}
    assert ours == {blueprint.title for blueprint in BLUEPRINTS} and len(ours) >= 4


def test_the_editor_has_them_under_their_own_heading(editor):
    known = editor.evaluate(REGISTERED)
    for blueprint in BLUEPRINTS:
        assert [blueprint.title, "Subgraph Blueprints/Lumina-Next", blueprint.about] in known


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
@every_blueprint
def test_nothing_overlaps_inside(editor, blueprint, vue):
    page.set_renderer(editor, vue)
    try:
        open_blueprint(editor, blueprint)
        editor.evaluate("app.canvas.setGraph(app.graph.nodes[0].subgraph)")
        page.settle(editor)
        assert page.overlaps(editor) == []
    finally:
        editor.evaluate("app.canvas.setGraph(app.canvas.graph.rootGraph)")
        page.set_renderer(editor, False)


def sampled(prompt: dict) -> dict:
    """A prompt that uses what a box of conditionings gives."""
    graph = TextToImage()
    given = {"CLIPTextEncode": {"clip": graph.clip}, "LuminaNextRegionalPrompt": {"conditioning": graph.positive}}
    for content in prompt.values():
        content["inputs"] = given.get(content["class_type"], {}) | content["inputs"]
    linked = {
        value[0] for content in prompt.values() for value in content["inputs"].values() if isinstance(value, list)
    }
    (last,) = (i for i, c in prompt.items() if c["class_type"] == "LuminaNextRegionalPrompt" and i not in linked)
    graph.show(graph.sample(positive=[last, 0]))
    return graph | prompt


def shown(prompt: dict) -> dict:
    """A prompt that saves what a box of pictures gives, from a white picture where it wants one."""
    white = {"width": 32, "height": 32, "batch_size": 1, "color": 0xFFFFFF}
    for content in prompt.values():
        if content["class_type"] == "LuminaNextMultiView":
            content["inputs"] |= {"image": ["white", 0]}
    (last,) = (i for i, content in prompt.items() if content["class_type"] in ("VAEDecode", "VAEDecodeTiled"))
    save = {"images": [last, 0], "filename_prefix": "blueprint"}
    return prompt | {
        "white": {"class_type": "EmptyImage", "inputs": white},
        "save": {"class_type": "SaveImage", "inputs": save},
    }


SIZES = {"Text to Image": (1, 64, 64), "2K and Beyond": (1, 2 * HEIGHT, 2 * WIDTH), "Views from an Image": (8, 32, 32)}


@every_blueprint
def test_it_runs(editor, client, blueprint):
    open_blueprint(editor, blueprint)
    prompt = to_api(editor)
    if blueprint.links:
        prompt = for_stand_ins(prompt, blueprint.api)
    for content in prompt.values():
        content["inputs"] |= {"steps": 2} if content["class_type"] == "KSampler" else {}
    regions = any(content["class_type"] == "LuminaNextRegionalPrompt" for content in prompt.values())
    pictures = client.images(client.run(sampled(prompt) if regions else shown(prompt)))
    assert (len(pictures), *pictures[0].shape[:2]) == SIZES.get(blueprint.box.title, (1, 64, 64))
    assert all(picture.std() > 1 for picture in pictures)
