"""Several views of an object through a real server: the workflows' pictures, and what wrong input says."""

import numpy as np
from PIL import Image

from lumina_next.tests.host.test_workflows import load, of_class, saved_by, with_inputs
from lumina_next.tests.support.graphs import MULTIVIEW

CELL, PADDING = 192, 4
FAST = {"steps": 2}


def cells(sheet: np.ndarray, views: int, columns: int) -> list[bytes]:
    """The views on a contact sheet, in their order."""
    step = CELL + PADDING
    places = [divmod(i, columns) for i in range(views)]
    return [sheet[row * step :, column * step :][:CELL, :CELL].tobytes() for row, column in places]


def with_cameras(prompt: dict, **inputs) -> dict:
    """A copy of the prompt with inputs of the node changed that hands all cameras to the sampler, not one."""
    (node,) = (n for n in of_class(prompt, "LuminaNextMultiView") if "image" in prompt[n]["inputs"])
    return prompt | {node: prompt[node] | {"inputs": prompt[node]["inputs"] | inputs}}


def test_the_ring_says_how_many_views_there_are(client, server):
    for views, rows in ((4, 1), (6, 2), (8, 2)):
        prompt = with_inputs(load("text_to_views"), "LuminaNextCameraRing", views=views)
        run = client.run(with_inputs(prompt, "KSampler", seed=views, **FAST))
        sheet = saved_by(client, run, "text_to_views")
        assert sheet.shape == (rows * 196 - 4, 4 * 196 - 4, 3)
        assert len(set(cells(sheet, views, 4))) == views
        (turntable,) = (i for out in run.outputs.values() for i in out["images"] if i["filename"].endswith(".webp"))
        with Image.open(server.base / "output" / turntable["subfolder"] / turntable["filename"]) as moving:
            assert (moving.n_frames, moving.size) == (views, (192, 192))


def test_azimuths_may_be_written_and_come_in_their_order(client):
    def views(azimuths: str) -> list[bytes]:
        prompt = with_cameras(load("text_to_views"), azimuths=azimuths)
        run = client.run(with_inputs(prompt, "KSampler", cfg=1.0, steps=1))
        return cells(saved_by(client, run, "text_to_views"), 3, 4)

    first, second = views("0, 120, 240"), views("0 120 250")
    assert len(set(first)) == 3 and first[2] != second[2]


def test_the_image_and_each_guidance_change_the_views(client):
    base = with_inputs(with_inputs(load("text_and_image_to_views"), "KSampler", **FAST), "BasicScheduler", **FAST)

    def sheet(prompt: dict) -> bytes:
        return saved_by(client, client.run(prompt), "text_and_image_to_views").tobytes()

    changes = (
        base,
        with_inputs(base, "KSampler", seed=77),  # another image
        with_inputs(base, "DualCFGGuider", cfg_conds=4.0),
        with_inputs(base, "DualCFGGuider", cfg_cond2_negative=4.0),
    )
    assert len({sheet(prompt) for prompt in changes}) == len(changes)


def test_an_image_alone_changes_the_views(client):
    base = with_inputs(load("image_to_views"), "KSampler", **FAST)
    other = with_inputs(base, "ImageFromBatch", batch_index=1)
    first, second = (saved_by(client, client.run(prompt), "image_to_views") for prompt in (base, other))
    assert len(set(cells(first, 8, 4))) == 8 and not np.array_equal(first, second)


def test_eighteen_views_in_one_run(client):
    run = client.run(with_inputs(load("eighteen_views"), "KSampler", steps=1))
    assert len(set(cells(saved_by(client, run, "eighteen_views"), 18, 6))) == 18


def test_cores_loader_takes_the_checkpoint(client):
    prompt = with_inputs(load("text_to_views"), "KSampler", **FAST)
    stock = {"class_type": "UNETLoader", "inputs": {"unet_name": MULTIVIEW, "weight_dtype": "default"}}
    (loader,) = (n for n, content in prompt.items() if content["class_type"] == "LuminaNextLoadModel")
    sheets = [saved_by(client, client.run(p), "text_to_views") for p in (prompt, prompt | {loader: stock})]
    assert np.array_equal(*sheets)


def test_wrong_input_is_an_error_that_helps(client):
    base = load("text_to_views")

    def error(prompt: dict) -> str:
        run = client.run(prompt)
        assert run.status == "error"
        return run.error

    assert "'left', number 2, is no number" in error(with_cameras(base, azimuths="0, left"))
    five = {"class_type": "EmptyLatentImage", "inputs": {"width": 32, "height": 32, "batch_size": 5}}
    (last,) = (n for n in of_class(base, "KSampler") if base[n]["inputs"]["seed"] == 2)
    batch = base | {"90": five, last: base[last] | {"inputs": base[last]["inputs"] | {"latent_image": ["90", 0]}}}
    assert "batch of 5, but the conditioning has 8 azimuths" in error(batch)
    (text,) = (n for n, content in base.items() if content["inputs"].get("text") == "")
    assert "put Multi-View Conditioning between" in error(with_inputs(base, "KSampler", negative=[text, 0]))
    other = with_inputs(base, "LuminaNextLoadModel", model_name="lumina-next-demo.safetensors")
    assert "only multi-view Lumina-Next models make" in error(other)
