"""A graph from scratch: our two loaders and stock nodes, each as it comes, draw the right picture on the first run."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.tests.host.test_editor import ERROR_PANEL, RUN, to_api

NEW = "app.extensionManager.command.execute('Comfy.NewBlankWorkflow')"
BUILD = """(prompt => {
  const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
  const link = (from, output, to, input) => from.connect(output, to, to.inputs.findIndex(slot => slot.name === input));
  const model = add('LuminaNextLoadModel'), clip = add('LuminaNextLoadTextEncoder'), vae = add('VAELoader');
  const [positive, negative] = [add('CLIPTextEncode'), add('CLIPTextEncode')];
  const latent = add('EmptyLatentImage'), sampler = add('KSampler');
  const decode = add('VAEDecode'), save = add('SaveImage');
  positive.widgets[0].value = prompt;
  [positive, negative].forEach(text => link(clip, 0, text, 'clip'));
  link(model, 0, sampler, 'model');
  link(positive, 0, sampler, 'positive');
  link(negative, 0, sampler, 'negative');
  link(latent, 0, sampler, 'latent_image');
  link(sampler, 0, decode, 'samples');
  link(vae, 0, decode, 'vae');
  link(decode, 0, save, 'images');
})"""
DRAWN = "app.graph.nodes.find(node => node.type === 'SaveImage').imgs?.[0]?.naturalWidth > 0"
REFRESH = "app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions').then(() => true)"


@pytest.fixture
def no_vae_files(editor, server):
    """ComfyUI's folder of VAEs as an installation begins: empty."""
    folder = server.base / "models/vae"
    shutil.move(folder, folder.with_name("vae elsewhere"))
    folder.mkdir()
    editor.evaluate(REFRESH)
    yield
    folder.rmdir()
    shutil.move(folder.with_name("vae elsewhere"), folder)
    editor.evaluate(REFRESH)


def test_draws_the_right_picture(editor, server, no_vae_files):
    before = set((server.base / "output").glob("ComfyUI_*.png"))
    editor.evaluate(f"{NEW}.then(() => {BUILD}('rocket'))")
    prompt = to_api(editor)
    shown = {name: value for node in prompt.values() for name, value in node["inputs"].items()}
    assert (shown["width"], shown["height"], shown["steps"], shown["cfg"]) == (512, 512, 20, 8.0)
    assert (shown["model_name"], shown["text_encoder"]) == ("lumina-next-demo.safetensors", "lumina-next-demo")
    editor.click(RUN)
    editor.wait_for(DRAWN)
    assert not editor.evaluate(ERROR_PANEL)
    (file,) = set((server.base / "output").glob("ComfyUI_*.png")) - before
    with Image.open(file) as image:
        picture = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1
    truth = Truth()
    assert picture.shape == (1, 3, 64, 64)
    assert truth.emoji[truth.nearest(picture)] == "🚀"


LOOK = """(() => {
  const [curve, cell] = ['LuminaNextFlowSchedule', 'LuminaNextGridMask'].map(type => LiteGraph.createNode(type));
  [curve, cell].forEach(node => app.graph.add(node));
  app.canvas.selectItems([curve]);
})"""
PICTURED = "app.graph.nodes.filter(node => node.imgs?.[0]?.naturalWidth > 0).map(node => node.type)"


def test_the_run_button_on_a_node_draws_its_picture_alone(editor):
    editor.evaluate(f"{NEW}.then({LOOK})")
    editor.evaluate("app.extensionManager.command.execute('Comfy.QueueSelectedOutputNodes').then(() => true)")
    editor.wait_for(f"{PICTURED}.length > 0")
    assert editor.evaluate(PICTURED) == ["LuminaNextFlowSchedule"] and not editor.evaluate(ERROR_PANEL)
