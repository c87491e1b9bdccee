"""The workflows in the real editor: they load clean, say the same as their API files, and run at a click."""

import copy
import json
import time
import uuid

import pytest
from PIL import Image

from lumina_next.tests.support.comfy_server import PACK

FILES = sorted((PACK / "workflows").glob("*.json"))
OFFICIAL = [file for file in FILES if file.stem.startswith("official")]
PROBLEMS = """app.graph.nodes.flatMap(node => {
  if (!(node.type in LiteGraph.registered_node_types)) return [`${node.type} is not registered`];
  const found = node.has_errors ? [`${node.type} has errors`] : [];
  return found.concat((node.widgets ?? []).flatMap(widget => {
    const values = widget.options?.values;
    const allowed = typeof values === "function" ? values(widget, node) : values;
    return Array.isArray(allowed) && !allowed.includes(widget.value)
      ? [`${node.type}.${widget.name}: ${widget.value} is not among ${allowed}`] : [];
  }));
})"""
NOTES = "app.graph.nodes.filter(node => node.type === 'MarkdownNote').map(node => node.widgets[0].value)"
RUN = '[data-testid="queue-button"]'
STAND_INS = {"UNETLoader": "StandInZImage", "CLIPTextEncode": "StandInText"}
ERROR_PANEL = "!!document.querySelector('[data-testid=\"error-overlay-see-errors\"]')"


def open_workflow(editor, file) -> None:
    name = json.dumps(file.stem)
    editor.evaluate(f"app.loadGraphData({file.read_text()}, true, true, {name}).then(() => true)")
    editor.evaluate("app.extensionManager.command.execute('Comfy.Canvas.FitView').then(() => true)")


def to_api(editor) -> dict:
    return editor.evaluate("app.graphToPrompt().then(prompt => prompt.output)")


def meaning(prompt: dict) -> list[str]:
    """The nodes of an API prompt without their ids: each with its inputs, links followed."""

    def describe(node: str) -> dict:
        inputs = {}
        for name, value in prompt[node]["inputs"].items():
            linked = isinstance(value, list) and len(value) == 2 and value[0] in prompt
            inputs[name] = [describe(value[0]), value[1]] if linked else value
        return {"class": prompt[node]["class_type"], "inputs": inputs}

    return sorted(json.dumps(describe(node), sort_keys=True) for node in prompt)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_loads_clean(editor, file):
    editor.errors.clear()
    open_workflow(editor, file)
    graph = json.loads(file.read_text())
    assert editor.evaluate("app.graph.nodes.length") == len(graph["nodes"])
    assert editor.evaluate(PROBLEMS) == []
    notes = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    assert editor.evaluate(NOTES) == notes
    time.sleep(0.7)  # the editor looks for missing models and nodes after it has drawn the graph
    assert not editor.evaluate(ERROR_PANEL), "the editor shows its error panel"
    assert editor.errors == []


@pytest.mark.parametrize("file", [f for f in FILES if f not in OFFICIAL], ids=lambda file: file.stem)
def test_says_the_same_as_its_api_file(editor, file):
    open_workflow(editor, file)
    api = json.loads((file.parent / "api" / file.name).read_text())
    assert meaning(to_api(editor)) == meaning(api)


WIDTH, HEIGHT = 168, 136  # odd numbers of latents
SIDES = {"official_2k": 2048, "official_z_image_2k": 3072}  # past the size that each model is native to


def for_stand_ins(prompt: dict, name: str) -> dict:
    """A copy of an official workflow's prompt that runs on the stand-ins at once, still above their training size."""
    prompt, side = copy.deepcopy(prompt), SIDES.get(name, 1024)
    for node in prompt.values():
        inputs = node["inputs"]
        # 30 steps at a full megapixel say no more about the graph than 2 on a smaller picture.
        if "steps" in inputs:
            inputs["steps"] = 2
        if node["class_type"] in ("EmptyLatentImage", "EmptySD3LatentImage"):
            assert (inputs["width"], inputs["height"]) == (side, side)
            inputs |= {"width": WIDTH, "height": HEIGHT}
        if node["class_type"] == "LuminaNextScaledRope":
            assert inputs["train_size"] == 0
            inputs["train_size"] = 128
        if node["class_type"] == "VAEDecodeTiled":  # several tiles on the smaller picture too
            inputs |= {"tile_size": 128, "overlap": 32}
        if "z_image" in name and node["class_type"] in STAND_INS:
            node |= {"class_type": STAND_INS[node["class_type"]], "inputs": {}}
    return prompt


def bypass(prompt: dict, class_type: str | None) -> dict:
    """A copy of a prompt without the model patches of a class."""
    prompt = copy.deepcopy(prompt)
    for node in [name for name, content in prompt.items() if content["class_type"] == class_type]:
        source = prompt.pop(node)["inputs"]["model"]
        for content in prompt.values():
            content["inputs"] |= {key: source for key, value in content["inputs"].items() if value == [node, 0]}
    return prompt


@pytest.mark.parametrize("file", OFFICIAL, ids=lambda file: file.stem)
def test_official_workflow_runs_on_stand_ins(editor, client, file):
    open_workflow(editor, file)
    prompt = for_stand_ins(to_api(editor), file.stem)
    larger = 2 if any(node["class_type"] == "LatentUpscaleBy" for node in prompt.values()) else 1
    (image,) = client.images(client.run(prompt))
    assert image.shape == (HEIGHT * larger, WIDTH * larger, 3) and image.std() > 1


@pytest.mark.parametrize("name", ["official_2k", "official_z_image_2k"])
def test_each_patch_node_of_the_2k_workflows_acts(editor, client, name):
    """On the stand-ins at twice their training size: with either node bypassed, the picture is another."""
    open_workflow(editor, PACK / f"workflows/{name}.json")
    prompt = for_stand_ins(to_api(editor), name)
    runs = [bypass(prompt, node) for node in (None, "LuminaNextScaledRope", "LuminaNextContextDrop")]
    pictures = {client.images(client.run(run))[0].tobytes() for run in runs}
    assert len(pictures) == 3


def test_missing_models_are_noticed(editor):
    """The check above can fail: a file that is not there brings up the editor's error panel."""
    graph = json.loads((PACK / "workflows/text_to_image.json").read_text())
    graph["id"] = str(uuid.uuid4())  # the editor remembers widget values by graph
    loader = next(node for node in graph["nodes"] if node["type"] == "LuminaNextLoadModel")
    loader["widgets_values"][0] = "nowhere.safetensors"
    loader.get("widgets_values_named", {})["model_name"] = "nowhere.safetensors"
    editor.evaluate(f"app.loadGraphData({json.dumps(graph)}, true, true, 'broken').then(() => true)")
    assert any("nowhere.safetensors" in problem for problem in editor.evaluate(PROBLEMS))
    editor.wait_for(ERROR_PANEL, seconds=5)


def test_a_click_on_run_draws_a_picture(editor, server, tmp_path, record_property):
    open_workflow(editor, PACK / "workflows/text_to_image.json")
    pictures = server.base / "output/lumina-next"
    before = set(pictures.glob("text_to_image_*.png"))
    # A seed no other test has used: a cached run would draw nothing.
    editor.evaluate("app.graph.nodes.find(n => n.type === 'KSampler').widgets[0].value = 424242")
    editor.click(RUN)
    editor.wait_for("app.graph.nodes.find(n => n.type === 'SaveImage').imgs?.[0]?.naturalWidth > 0")
    assert len(set(pictures.glob("text_to_image_*.png")) - before) == 1
    assert not editor.evaluate(ERROR_PANEL)
    screenshot = tmp_path / "editor.png"
    editor.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 500)))")
    screenshot.write_bytes(editor.screenshot())
    with Image.open(screenshot) as picture:
        assert picture.size == (1600, 900) and len(picture.getcolors(1 << 21)) > 500
    record_property("screenshot", str(screenshot))
