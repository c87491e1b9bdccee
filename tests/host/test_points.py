"""Points through a real server: the workflows' clouds, files and pictures, and what wrong input says."""

import numpy as np
import pytest

from lumina_next.nextdit.clouds.files import read_points
from lumina_next.tests.host.test_workflows import load, of_class, saved_by, with_inputs

FAST = {"steps": 2}
SMALL = {"count": 64}


def fast(name: str) -> dict:
    """A workflow with few steps and points."""
    prompt = with_inputs(load(name), "KSampler", **FAST)
    prompt = with_inputs(prompt, "LuminaNextEmptyPoints", **SMALL)
    prompt = with_inputs(prompt, "LuminaNextCompletePoints", count=96)
    return with_inputs(prompt, "LuminaNextThinPoints", count=48)


def previewed(server, run) -> np.ndarray:
    """The points of the file that Preview Point Cloud shows."""
    (name,) = (
        out["result"][0] for out in run.outputs.values() if "result" in out and "preview" in str(out["result"][0])
    )
    return read_points(server.base / "temp" / name.split("[")[0].strip()).numpy()


def test_a_label_becomes_a_file_that_is_shown_and_saved(client, server):
    run = client.run(fast("label_to_points"))
    assert run.status == "success", run.error
    shown = previewed(server, run)
    (file,) = sorted((server.base / "output/3d").glob("label_to_points_*.ply"))[-1:]
    assert shown.shape == (48, 3) and np.array_equal(shown, read_points(file).numpy())
    assert saved_by(client, run, "label_to_points").shape == (256, 1024, 3)


def test_every_number_of_points(client, server):
    for count in (1, 3, 300):
        prompt = with_inputs(fast("text_to_points"), "LuminaNextEmptyPoints", count=count)
        run = client.run(prompt)
        assert run.status == "success", run.error
        if count > 1:
            assert previewed(server, run).shape == (count, 3)


def test_the_prompt_the_label_and_attention_each_change_the_points(client, server):
    def points(prompt: dict) -> bytes:
        return previewed(server, client.run(prompt)).tobytes()

    base = with_inputs(fast("label_to_points"), "LuminaNextEmptyPoints", count=300)
    (model,) = of_class(base, "LuminaNextLoadModel")
    changes = (
        base,
        with_inputs(base, "LuminaNextPointLabel", label="car"),
        with_inputs(base, "KSampler", model=[model, 0]),
    )
    assert len({points(prompt) for prompt in changes}) == 3
    assert points(with_inputs(base, "LuminaNextPointLabel", label="4")) == points(changes[1])
    text = fast("text_to_points")
    (prompt,) = (n for n in of_class(text, "CLIPTextEncode") if text[n]["inputs"]["text"])
    other = text | {prompt: text[prompt] | {"inputs": text[prompt]["inputs"] | {"text": "Haus"}}}
    assert points(text) != points(other)


def test_points_that_are_given_stay(client, server):
    for name in ("complete_points", "denser_points"):
        prompt = fast(name)
        (cloud,) = of_class(prompt, "LuminaNextCompletePoints")
        source = prompt[cloud]["inputs"]["points"]
        prompt["90"] = {
            "class_type": "LuminaNextPointsToFile",
            "inputs": {"points": source, "up": "y", "filename_prefix": "x"},
        }
        prompt["91"] = {
            "class_type": "SavePointCloud",
            "inputs": {"model_3d": ["90", 0], "filename_prefix": f"3d/given_{name}"}
            | {"viewport_state": "", "width": 8, "height": 8},
        }
        run = client.run(prompt)
        assert run.status == "success", run.error
        (file,) = sorted((server.base / "output/3d").glob(f"given_{name}_*.ply"))[-1:]
        given, whole = read_points(file).numpy(), previewed(server, run)
        assert len(whole) == 96 and 1 < len(given) < 96
        assert np.allclose(whole[: len(given)], given, atol=1e-5)


def test_a_users_cloud_comes_back_in_its_place(client, server):
    points = 100 + 7 * np.random.default_rng(0).random((40, 3))
    folder = server.base / "input/3d"
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "own.xyz", points)
    prompt = fast("denser_points")
    prompt["90"] = {"class_type": "LuminaNextLoadPoints", "inputs": {"file": "3d/own.xyz", "up": "y", "fit": True}}
    run = client.run(with_inputs(prompt, "LuminaNextCompletePoints", points=["90", 0]))
    assert run.status == "success", run.error
    assert np.allclose(previewed(server, run)[:40], points, atol=1e-3)
    (folder / "broken.ply").write_text("no cloud")
    prompt["90"]["inputs"]["file"] = "3d/broken.ply"
    run = client.run(with_inputs(prompt, "LuminaNextCompletePoints", points=["90", 0]))
    assert "is no point cloud" in run.error


def test_points_become_a_mesh(client, server):
    run = client.run(fast("points_to_mesh"))
    assert run.status == "success", run.error
    (file,) = sorted((server.base / "output/3d").glob("points_to_mesh_*.glb"))[-1:]
    assert file.read_bytes()[:4] == b"glTF"


def wrong(client, prompt: dict) -> str:
    run = client.run(prompt)
    assert run.status == "error"
    return run.error


def test_wrong_input_is_an_error_that_helps(client):
    base, text = fast("label_to_points"), fast("text_to_points")
    assert "this model knows plane, chair" in wrong(client, with_inputs(base, "LuminaNextPointLabel", label="sofa"))
    other = with_inputs(base, "LuminaNextLoadModel", model_name="lumina-next-demo-points-text.safetensors")
    assert "from text, not from a label" in wrong(client, other)
    other = with_inputs(text, "LuminaNextLoadModel", model_name="lumina-next-demo-points.safetensors")
    assert "from a label, not from text" in wrong(client, other)
    other = with_inputs(base, "LuminaNextLoadModel", model_name="lumina-next-demo.safetensors")
    assert "works with Lumina-Next models of points" in wrong(client, other)
    picture = base | {"90": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}}
    assert "point clouds, (batch, 3, points)" in wrong(client, with_inputs(picture, "KSampler", latent_image=["90", 0]))
    assert "asks for 1 to 64" in wrong(client, with_inputs(base, "LuminaNextThinPoints", count=65)).replace(
        "ask ", "asks "
    )
    assert "to more than that" in wrong(
        client, with_inputs(fast("denser_points"), "LuminaNextCompletePoints", count=64)
    )
    assert "no point lies" in wrong(
        client, with_inputs(fast("complete_points"), "LuminaNextCutPoints", start=1.9, end=2.0)
    )


@pytest.mark.parametrize("node", ("LuminaNextScaledRope", "LuminaNextContextDrop"))
def test_patches_for_pictures_are_refused(client, node):
    base = fast("label_to_points")
    (model,) = of_class(base, "LuminaNextLoadModel")
    inputs = {
        "LuminaNextScaledRope": {
            "method": "interpolation",
            "factor": "area",
            "proportional_attention": False,
            "train_size": 0,
        },
        "LuminaNextContextDrop": {
            "window": 2,
            "fade": "linear",
            "pooling": "after_rope",
            "start_percent": 0.0,
            "end_percent": 1.0,
        },
    }[node]
    patched = base | {"90": {"class_type": node, "inputs": {"model": [model, 0], **inputs}}}
    assert "got a LuminaNextPoints model" in wrong(client, with_inputs(patched, "KSampler", model=["90", 0]))
