"""What users hand on: pictures that hold their workflow, scripts on the API, the official websocket flow."""

import asyncio
import base64
import io
import json
import runpy
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid

import aiohttp
import numpy as np
import pytest
from PIL import Image

from lumina_next.tests.host.test_editor import ERROR_PANEL, RUN, meaning, open_workflow, set_widget, to_api
from lumina_next.tests.support.comfy_server import PACK
from lumina_next.tests.support.graphs import TextToImage

EXAMPLE = PACK / "docs/api_client.py"
# A file let go over the canvas, as by a mouse.
DROP = """(async (data, name) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
  document.querySelector("#graph-canvas").dispatchEvent(new DragEvent("drop", options));
  return true;
})"""


def test_a_saved_picture_reopens_its_workflow_when_dropped(editor, server):
    file = PACK / "workflows/Edit - Image to image.json"
    folder = server.base / "output/lumina-next"
    open_workflow(editor, file)
    set_widget(editor, "seed", 515151)
    said = to_api(editor)
    before = set(folder.glob("image_to_image_0*.png"))
    editor.click(RUN)
    editor.wait_for("app.graph.nodes.filter(n => n.type === 'SaveImage').every(n => n.imgs?.[0]?.naturalWidth > 0)")
    (saved,) = set(folder.glob("image_to_image_0*.png")) - before
    with Image.open(saved) as picture:
        assert json.loads(picture.text["prompt"]).keys() == said.keys()
        workflow = json.loads(picture.text["workflow"])
    assert {node["type"] for node in workflow["nodes"]} == {n["type"] for n in json.loads(file.read_text())["nodes"]}

    open_workflow(editor, PACK / "workflows/Text to image.json")
    assert editor.evaluate("app.graph.nodes.length") < len(workflow["nodes"])
    editor.errors.clear()
    data = base64.b64encode(saved.read_bytes()).decode()
    editor.evaluate(f"{DROP}({json.dumps(data)}, 'dropped.png')")
    editor.wait_for(f"app.graph.nodes.length === {len(workflow['nodes'])}", seconds=15)
    assert meaning(to_api(editor)) == meaning(said)
    assert not editor.evaluate(ERROR_PANEL) and editor.errors == []


def run_example(server, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-S", str(EXAMPLE), *arguments, "--server", server.url]  # -S: no installed packages
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_the_example_client_makes_a_picture(server, tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file, prompt in zip(files, ("red apple", "panda"), strict=True):
        done = run_example(server, prompt, "--seed", "61", "-o", str(file))
        assert (done.returncode, done.stdout.strip()) == (0, str(file)), done.stderr
    with Image.open(files[0]) as picture, Image.open(files[1]) as other:
        assert "red apple" in picture.text["prompt"] and picture.size == (512, 512)
        assert not np.array_equal(np.asarray(picture), np.asarray(other))


def test_the_example_client_says_what_went_wrong(server, tmp_path):
    spec = runpy.run_path(str(EXAMPLE))
    graph = TextToImage()
    with pytest.raises(spec["ComfyError"], match="answered 400.*prompt_no_outputs"):
        spec["queue"](server.url, graph)
    broken = graph.show(graph.sample(model=graph.add("LuminaNextChannelGuidance", model=graph.model, channels=9)))
    with pytest.raises(spec["ComfyError"], match="LuminaNextChannelGuidance: .*channels must be between 1 and 3"):
        spec["wait"](server.url, spec["queue"](server.url, broken), 60)
    unreachable = subprocess.run(
        [sys.executable, str(EXAMPLE), "x", "--server", "http://127.0.0.1:9", "-o", str(tmp_path / "x.png")],
        capture_output=True,
        text=True,
    )
    assert unreachable.returncode == 1 and unreachable.stderr.startswith("api_client: ")


def test_the_flow_of_comfyuis_websocket_example(server):
    """script_examples/websockets_api_example.py: wait for the end over the websocket, then ask the history.

    It asks for no feature, so that previews are plain binary events: 8 bytes of header, then the picture.
    """
    graph = TextToImage()
    graph.show(graph.sample(seed=88, steps=6))

    async def follow() -> tuple[list[bytes], str]:
        client, previews = uuid.uuid4().hex, []
        async with aiohttp.ClientSession(server.url) as session, session.ws_connect(f"/ws?clientId={client}") as socket:
            async with session.post("/prompt", json={"prompt": graph, "client_id": client}) as answer:
                prompt_id = (await answer.json())["prompt_id"]
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    previews.append(message.data[8:])
                    continue
                event = json.loads(message.data)
                if event["type"] == "executing" and event["data"].get("prompt_id") == prompt_id:
                    if event["data"]["node"] is None:
                        return previews, prompt_id
        raise AssertionError("the server hung up")

    previews, prompt_id = asyncio.run(asyncio.wait_for(follow(), 120))
    assert len(previews) >= 5
    for data in previews:
        assert Image.open(io.BytesIO(data)).format == "JPEG"
    outputs = server.get(f"/history/{prompt_id}")[prompt_id]["outputs"]
    (saved,) = [image for output in outputs.values() for image in output["images"]]
    with urllib.request.urlopen(f"{server.url}/view?{urllib.parse.urlencode(saved)}") as answer:
        assert Image.open(io.BytesIO(answer.read())).size == (64, 64)
