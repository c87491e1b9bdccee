"""The workflows in the real editor: they open clean and readable, say the same as their API files, run at a click."""

import copy
import json
import time
import uuid

import numpy as np
import pytest
from PIL import Image

from lumina_next.tests.support.comfy_server import PACK
from lumina_next.tests.support.templates import page
from lumina_next.tests.support.templates.catalogue import TEMPLATES

WORKFLOWS = PACK / "workflows"
SMALLEST_ZOOM = 0.6  # below 0.57 the canvas draws no text
LONGEST_WAIT = 0.7  # the editor looks for missing models and nodes after it has drawn the graph
# Nodes in boxes count too; a box itself has no class.
PROBLEMS = """(function problems(graph) {
  return graph.nodes.flatMap(node => {
    if (node.subgraph) return problems(node.subgraph);
    if (!(node.type in LiteGraph.registered_node_types)) return [`${node.type} is not registered`];
    const found = node.has_errors ? [`${node.type} has errors`] : [];
    return found.concat((node.widgets ?? []).flatMap(widget => {
      const values = widget.options?.values;
      const allowed = typeof values === "function" ? values(widget, node) : values;
      return Array.isArray(allowed) && !allowed.includes(widget.value)
        ? [`${node.type}.${widget.name}: ${widget.value} is not among ${allowed}`] : [];
    }));
  });
})(app.graph)"""
NOTES = "app.graph.nodes.filter(node => node.type === 'MarkdownNote').map(node => node.widgets[0].value)"
RUN = page.RUN
APP_WIDGETS, APP_RUN = '[data-testid="linear-widgets"]', '[data-testid="linear-run-button"]'
PHOTOGRAPHED = {"text_to_image", "regional_prompts", "official_2k"}
TEXTS = {"CLIPTextEncode": "StandInText", "CLIPLoader": "StandInClip"}
STAND_INS = {
    "z_image": TEXTS | {"UNETLoader": "StandInZImage", "VAELoader": "StandInVae"},
    "krea_2": TEXTS | {"UNETLoader": "StandInKrea2", "VAELoader": "StandInWanVae"},
    "qwen_image": TEXTS | {"UNETLoader": "StandInQwenImage", "VAELoader": "StandInWanVae"},
    "wan": {"CLIPLoader": "StandInClip", "UNETLoader": "StandInWan", "VAELoader": "StandInWanVae"},
}
# What a viewer of core's writes into itself once it is drawn, its camera: nothing that the workflow says.
VIEWS = {"PreviewPointCloud": "viewport_state", "SavePointCloud": "viewport_state", "SaveGLB": "image"}
ERROR_PANEL = "!!document.querySelector('[data-testid=\"error-overlay-see-errors\"]')"

every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.api)
OTHERS = ("official_text_to_audio", "official_text_to_music", "official_wan")  # which make no pictures
PICTURES = [t.api for t in TEMPLATES if t.card and t.api not in OTHERS]
official = pytest.mark.parametrize("name", PICTURES)


def file_of(template, end: str = ""):
    return WORKFLOWS / f"{template.title}{end}.json"


def api_of(name: str) -> dict:
    return json.loads((WORKFLOWS / f"api/{name}.json").read_text(encoding="utf-8"))


def open_workflow(editor, file) -> None:
    page.open_template(editor, json.loads(file.read_text(encoding="utf-8")), file.stem)


def to_api(editor) -> dict:
    return editor.evaluate("app.graphToPrompt().then(prompt => prompt.output)")


def set_widget(editor, label: str, value) -> None:
    """Write into the first box's widget with a label."""
    widgets = "app.graph.nodes.flatMap(n => n.subgraph ? n.widgets : [])"
    editor.evaluate(f"{widgets}.find(w => (w.label ?? w.name) === {json.dumps(label)}).value = {json.dumps(value)}")


def meaning(prompt: dict) -> list[str]:
    """The nodes of an API prompt without their ids: each with its inputs, links followed."""

    def describe(node: str) -> dict:
        inputs = {}
        for name, value in prompt[node]["inputs"].items():
            linked = isinstance(value, list) and len(value) == 2 and value[0] in prompt
            inputs[name] = [describe(value[0]), value[1]] if linked else value
        inputs.pop(VIEWS.get(prompt[node]["class_type"]), None)
        return {"class": prompt[node]["class_type"], "inputs": inputs}

    return sorted(json.dumps(describe(node), sort_keys=True) for node in prompt)


@pytest.fixture(scope="module", params=["canvas", "vue"])
def renderer(editor, request):
    """The editor as a canvas, then as Nodes 2.0; afterwards as it was."""
    page.set_renderer(editor, request.param == "vue")
    yield request.param
    page.set_renderer(editor, False)


@every_template
def test_opens_readable_and_clean(editor, renderer, template, tmp_path, record_property):
    editor.errors.clear()
    open_workflow(editor, file_of(template))
    if template.api in PHOTOGRAPHED:
        (tmp_path / "screenshot.png").write_bytes(editor.screenshot())
        record_property("screenshot", str(tmp_path / "screenshot.png"))
    assert page.overlaps(editor) == []
    assert editor.evaluate("app.canvas.ds.scale") >= SMALLEST_ZOOM
    assert editor.evaluate(PROBLEMS) == []
    if renderer == "canvas":
        assert meaning(to_api(editor)) == meaning(api_of(template.api))
        time.sleep(LONGEST_WAIT)
        assert not editor.evaluate(ERROR_PANEL), "the editor shows its error panel"
    assert editor.errors == []


def test_an_overlap_is_noticed(editor, renderer):
    """The check above can fail, in both renderers."""
    graph = json.loads((WORKFLOWS / "Text to image.json").read_text(encoding="utf-8"))
    graph["nodes"][0]["pos"] = [x + 100 for x in graph["nodes"][1]["pos"]]
    page.open_template(editor, graph, "overlap")
    assert len(page.overlaps(editor)) == 1


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t.app], ids=lambda template: template.api)
def test_app_shows_its_form(editor, template):
    open_workflow(editor, file_of(template, ".app"))
    shown = editor.wait_for(f"document.querySelector('{APP_WIDGETS}')?.innerText")
    assert shown.split("\n") == list(template.app)
    assert meaning(to_api(editor)) == meaning(api_of(template.api))


WIDTH, HEIGHT = 168, 136  # odd numbers of latents
SIDES = {"official_2k": 2048, "official_z_image_2k": 3072, "official_z_image_4k": 2048, "official_class_to_image": 256}
SIDES |= {"official_qwen_image": 1328, "official_krea_2": 2048}
COUNTS = {"official_class_to_image": 8, "official_z_image_variety": 4}


def for_stand_ins(prompt: dict, name: str) -> dict:
    """A copy of an official workflow's prompt that runs on the stand-ins at once, still above their training size."""
    prompt, side = copy.deepcopy(prompt), SIDES.get(name, 1024)
    stand_ins = next((nodes for model, nodes in STAND_INS.items() if model in name), {})
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
        if node["class_type"] == "ImageScaleToTotalPixels":
            inputs["megapixels"] = 0.01
        if node["class_type"] in stand_ins:
            node |= {"class_type": stand_ins[node["class_type"]], "inputs": {}}
    return prompt


def bypass(prompt: dict, class_type: str | None) -> dict:
    """A copy of a prompt without the model patches of a class."""
    prompt = copy.deepcopy(prompt)
    for node in [name for name, content in prompt.items() if content["class_type"] == class_type]:
        source = prompt.pop(node)["inputs"]["model"]
        for content in prompt.values():
            content["inputs"] |= {key: source for key, value in content["inputs"].items() if value == [node, 0]}
    return prompt


@official
def test_official_workflow_runs_on_stand_ins(official_files, client, name):
    prompt = for_stand_ins(api_of(name), name)
    larger = 2 if any(node["class_type"] == "LatentUpscaleBy" for node in prompt.values()) else 1
    images = client.images(client.run(prompt))
    assert len(images) == COUNTS.get(name, 1)
    assert all(image.shape == (HEIGHT * larger, WIDTH * larger, 3) and image.std() > 1 for image in images)


def test_the_official_clip_hears_each_prompt_in_its_half(official_files, client):
    """On a random network; which frames follow which text is what the nodes decide."""
    prompt, clips = for_stand_ins(api_of("official_wan"), "official_wan"), []
    prompt["10"]["inputs"] |= {"width": 64, "height": 48, "length": 13}  # of 81, four frames of latents
    for second in ("a fox sits", "a lighthouse"):
        prompt["6"]["inputs"]["text"] = second
        (clip,) = client.clips(client.run(prompt))
        clips.append(clip.astype(int))
    assert clips[0].shape == (13, 48, 64, 3) and clips[0].std() > 1
    first, last = (np.abs(clips[0] - clips[1])[half].mean() for half in (slice(0, 4), slice(9, 13)))
    assert last > 2 * first


def test_a_lora_trained_on_z_image_opens_in_the_packs_loader(official_files, server, client):
    """Trained on folders of two sizes, it changes the picture, and its file does the same in another prompt."""
    prompt = for_stand_ins(api_of("official_z_image_train_lora"), "official_z_image_train_lora")
    (trained,) = [node for node in prompt.values() if node["class_type"] == "TrainLoraNode"]
    trained["inputs"] |= {"learning_rate": 0.02, "training_dtype": "fp32", "lora_dtype": "fp32"}
    prompt["9"]["inputs"]["prefix"] = "loras/opened-again"
    (after,) = client.images(client.run(prompt))
    (file,) = (server.base / "output/loras").glob("opened-again_2_steps_*.safetensors")
    (server.base / "models/loras" / file.name).write_bytes(file.read_bytes())
    prompt["10"]["inputs"] = {"model": ["1", 0], "lora_name": file.name, "strength": 1.0, "unmatched": "error"}
    prompt["10"]["class_type"] = "LuminaNextLoadLora"
    pictures = {}
    for strength in (0.0, 1.0):
        prompt["10"]["inputs"]["strength"] = strength
        (pictures[strength],) = client.images(client.run({k: v for k, v in prompt.items() if k not in "89"}))
    assert np.abs(pictures[1.0].astype(int) - after).max() <= 2
    assert np.abs(pictures[0.0].astype(int) - after).mean() > 2


LARGER = ("LuminaNextScaledRope", "LuminaNextContextDrop")


@pytest.mark.parametrize(
    "name, nodes",
    [
        ("official_2k", LARGER),
        ("official_z_image_2k", LARGER),
        ("official_z_image_variety", ("LuminaNextSeedVariety",)),
    ],
)
def test_each_patch_node_of_a_workflow_acts(official_files, client, name, nodes):
    """On the stand-ins at twice their training size: with any node bypassed, the picture is another."""
    prompt = for_stand_ins(api_of(name), name)
    runs = [bypass(prompt, node) for node in (None, *nodes)]
    pictures = {client.images(client.run(run))[0].tobytes() for run in runs}
    assert len(pictures) == 1 + len(nodes)


def test_missing_models_are_noticed(editor):
    """The check above can fail: a file that is not there brings up the editor's error panel."""
    text = (WORKFLOWS / "Text to image.json").read_text(encoding="utf-8")
    graph = json.loads(text.replace("lumina-next-demo.safetensors", "nowhere.safetensors"))
    graph["id"] = str(uuid.uuid4())  # the editor remembers widget values by graph
    editor.evaluate(f"app.loadGraphData({json.dumps(graph)}, true, true, 'broken').then(() => true)")
    assert any("nowhere.safetensors" in problem for problem in editor.evaluate(PROBLEMS))
    editor.wait_for(ERROR_PANEL, seconds=5)


def test_a_click_on_run_draws_a_picture(editor, server, tmp_path, record_property):
    open_workflow(editor, WORKFLOWS / "Text to image.json")
    pictures = server.base / "output/lumina-next"
    before = set(pictures.glob("text_to_image_*.png"))
    set_widget(editor, "seed", 424242)  # no other test has used it: a cached run would draw nothing
    editor.click(RUN)
    editor.wait_for("app.graph.nodes.find(n => n.type === 'SaveImage').imgs?.[0]?.naturalWidth > 0")
    (made,) = set(pictures.glob("text_to_image_*.png")) - before
    with Image.open(made) as picture:
        assert "424242" in picture.text["prompt"]
    assert not editor.evaluate(ERROR_PANEL)
    assert page.overlaps(editor) == []
    screenshot = tmp_path / "editor.png"
    editor.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 500)))")
    screenshot.write_bytes(editor.screenshot())
    with Image.open(screenshot) as picture:
        assert picture.size == (1600, 900) and len(picture.getcolors(1 << 21)) > 500
    record_property("screenshot", str(screenshot))
