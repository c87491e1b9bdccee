"""The oldest ComfyUI that the pack supports, 0.3.64: it loads, and makes pictures, points and sounds.

Set LUMINA_NEXT_OLD_COMFYUI to a checkout of that release; its requirements must be in this Python's environment.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lumina_next.nextdit.clouds.files import read_points
from lumina_next.tests.host.test_audio import RATE, fast, heard
from lumina_next.tests.host.test_server import NODES
from lumina_next.tests.host.test_workflows import in_few_steps, load, of_class
from lumina_next.tests.support import core_lumina_alone, untrained_audio
from lumina_next.tests.support.checkpoints import write_absent_demo, write_untrained
from lumina_next.tests.support.comfy_client import ComfyClient
from lumina_next.tests.support.comfy_server import PACK, ComfyServer
from lumina_next.tests.support.graphs import TextToImage

VARIABLE = "LUMINA_NEXT_OLD_COMFYUI"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    where = os.environ.get(VARIABLE)
    if not where:
        pytest.skip(f"OLD COMFYUI NOT TESTED: set {VARIABLE} to a checkout of ComfyUI 0.3.64")
    base = tmp_path_factory.mktemp("old-comfyui")
    write_untrained(base / "models")
    untrained_audio.write_released(base / "models/checkpoints/Lumina-T2Audio")
    write_absent_demo(base / "models")
    # that release serves a folder of a package which newer versions of the package no longer have
    templates = base / "packages/comfyui_workflow_templates"
    (templates / "templates").mkdir(parents=True)
    (templates / "__init__.py").touch()
    with ComfyServer(Path(where), base, packages=templates.parent) as server:
        yield server


def test_every_node_is_registered(old):
    known = old.get("/object_info")
    assert NODES <= set(known), old.log(40)


def test_text_to_image_with_our_nodes(old):
    graph = TextToImage()
    # an empty latent of that release is an eighth of the size, whatever the model
    pixels = graph.add("EmptyImage", width=64, height=48, batch_size=1, color=0)
    graph.latent = graph.add("VAEEncode", pixels=pixels, vae=graph.vae)
    rope = {"factor": "area", "proportional_attention": False, "train_size": 32}
    model = graph.add("LuminaNextScaledRope", model=graph.model, method="time_aware", **rope)
    sigmas = graph.add(
        "LuminaNextFlowSchedule", **{"schedule": "rational", "schedule.alpha": 4.0, "steps": 4, "denoise": 1.0}
    )
    sampler = graph.add("LuminaNextFlowSampler", method="midpoint")
    parts = {"model": model, "positive": graph.positive, "negative": graph.negative, "cfg": 4.0, "add_noise": True}
    parts |= {"noise_seed": 1, "sampler": sampler, "sigmas": sigmas, "latent_image": graph.latent}
    graph.show(graph.add("SamplerCustom", **parts))
    graph.show(graph.sample())
    client = ComfyClient(old.url)
    try:
        images = client.images(client.run(graph))
    finally:
        client.close()
    assert [image.shape for image in images] == [(48, 64, 3)] * 2 and all(image.std() > 1 for image in images)


def test_points_from_a_label_with_our_nodes(old):
    """That release has no files of 3-D models: Points to File writes them itself."""
    prompt = json.loads((PACK / "workflows/api/label_to_points.json").read_text(encoding="utf-8"))
    prompt = {key: node for key, node in prompt.items() if "PointCloud" not in node["class_type"]}
    prompt["4"]["inputs"]["count"], prompt["6"]["inputs"]["count"], prompt["5"]["inputs"]["steps"] = 64, 32, 2
    client = ComfyClient(old.url)
    try:
        (image,) = client.images(client.run(prompt))
    finally:
        client.close()
    assert image.std() > 1
    (file,) = (old.base / "output/3d").glob("label_to_points*.ply")
    assert read_points(file).shape == (32, 3)


def test_sounds_with_our_nodes(old):
    """That release takes every sound for one of 44.1 kHz, and asks no VAE."""
    client = ComfyClient(old.url)
    try:
        sound, rate = heard(old, client.run(fast("official_text_to_audio")))
    finally:
        client.close()
    assert rate == 44100 and sound.shape == (1, -(-31 * 512 * 44100 // RATE)) and sound.std() > 1e-3


def test_a_stretch_of_a_sound_with_the_model_in_the_box(old):
    prompt = in_few_steps(load("repaint_sound"))
    for saver in of_class(prompt, "SaveAudioAdvanced"):  # which that release has not
        prompt[saver] = {"class_type": "PreviewAudio", "inputs": {"audio": prompt[saver]["inputs"]["audio"]}}
    client = ComfyClient(old.url)
    try:
        run = client.run(prompt)
        before, after = client.sounds(run, "temp")
    finally:
        client.close()
    assert before.rate == after.rate == 44100 and before.seconds == pytest.approx(4.1, abs=0.05)
    assert after.seconds == pytest.approx(4.1, abs=0.05) and not np.array_equal(before.samples, after.samples)


def test_scaled_rope_on_its_lumina_image_2(old, tmp_path):
    """Whose embedding has one call for text and image, and whose layers do not say which one attends."""
    words = [sys.executable, "-m", core_lumina_alone.__name__, os.environ[VARIABLE], str(tmp_path / "found.json")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    for name in ("one", "two, texts of two lengths"):
        assert found[name] < 1e-4 < 0.1 < found[f"{name}, plain"]
    assert found["auto"] == 0 and found["said"].endswith("which this ComfyUI is too old for: without it")
