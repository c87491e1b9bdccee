"""Every workflow that is promised to run as it is on a fresh install does."""

import copy
import json

import numpy as np
import pytest

from lumina_next.tests.support.comfy_server import PACK

FILES = sorted(file for file in (PACK / "workflows/api").glob("*.json") if not file.stem.startswith("official"))
SAVERS = {"SaveImage", "SaveAnimatedWEBP", "SaveVideo", "SaveAudioAdvanced"}
SAMPLERS = {"KSampler", "SamplerCustomAdvanced"}


def load(name: str) -> dict:
    return json.loads((PACK / f"workflows/api/{name}.json").read_text())


def of_class(prompt: dict, *classes: str) -> list[str]:
    return [node for node, content in prompt.items() if content["class_type"] in classes]


def with_inputs(prompt: dict, class_type: str, **inputs) -> dict:
    """A copy of the prompt with inputs of every node of a class changed."""
    prompt = copy.deepcopy(prompt)
    for node in of_class(prompt, class_type):
        prompt[node]["inputs"] |= inputs
    return prompt


def in_few_steps(prompt: dict, most: int = 2) -> dict:
    """A copy of the prompt in which no node makes more than so many steps; more of them only make a better picture."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        if isinstance(steps := node["inputs"].get("steps"), int):
            node["inputs"]["steps"] = min(steps, most)
    return prompt


def saving(prompt: dict, **nodes: str) -> dict:
    """A copy of the prompt that saves the nodes' pictures under their names, neither enlarged nor labelled."""
    prompt = {node: content for node, content in copy.deepcopy(prompt).items() if content["class_type"] not in SAVERS}
    for name, node in nodes.items():
        inputs = {"images": [node, 0], "filename_prefix": f"lumina-next/{name}"}
        prompt[f"save {name}"] = {"class_type": "SaveImage", "inputs": inputs}
    return prompt


def step_count(prompt: dict, sampler: str) -> int:
    """How many steps a sampler node is asked for, straight or through its sigmas."""
    inputs = prompt[sampler]["inputs"]
    return inputs["steps"] if "steps" in inputs else prompt[inputs["sigmas"][0]]["inputs"]["steps"]


def frames_of(prompt: dict) -> int:
    """How many frames the clip of a prompt is to have."""
    return max(node["inputs"].get("frames", 0) for node in prompt.values())


def seconds_of(prompt: dict) -> float:
    """How long the sound of a prompt is to be."""
    return max(node["inputs"].get("seconds", 0.0) for node in prompt.values())


def test_there_are_workflows():
    assert {"text_to_image", "multilingual", "few_step", "image_to_image", "inpaint"} <= {f.stem for f in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_runs_as_it_is(file, client):
    prompt = json.loads(file.read_text())
    # A seed no other run has, so that nothing comes from the server's cache.
    seed = 1000 + FILES.index(file)
    prompt = with_inputs(prompt, "KSampler", seed=seed)
    prompt = with_inputs(prompt, "RandomNoise", noise_seed=seed)
    if file.stem not in ("text_to_image", "few_step"):  # samplers that differ by their steps alone would run once
        prompt = in_few_steps(prompt)
    run = client.run(prompt)
    images, clips, sounds = client.images(run), client.clips(run), client.sounds(run)
    assert len(images) + len(clips) + len(sounds) == len(of_class(prompt, *SAVERS))
    assert all(len(clip) == frames_of(prompt) for clip in clips)
    for sound in sounds:
        assert sound.seconds == pytest.approx(seconds_of(prompt), abs=0.04) and sound.samples.std() > 1e-3
    for image in [*images, *(frame for clip in clips for frame in clip)]:
        # 32: the multi-view demo, whose image is saved as it is drawn
        assert min(image.shape[:2]) >= 32 and image.std() > 1, "a picture is constant"
    points = of_class(prompt, "LuminaNextEmptyPoints")  # of which core has no picture before they are done
    for sampler in of_class(prompt, *SAMPLERS):
        steps, count = run.steps(sampler), step_count(prompt, sampler)
        # steps with few points are quicker than core reports them
        wanted = {1, count} if points else set(range(1, count + 1))
        assert wanted <= set(steps), f"progress of node {sampler}: {steps}"
    assert (run.previews or points) and all(min(frame.size) >= 16 for frame in run.previews)


def test_a_second_run_comes_from_the_cache(client):
    prompt = with_inputs(load("text_to_image"), "KSampler", seed=2000, steps=4)
    client.run(prompt)
    again = client.run(prompt)
    assert again.status == "success"
    assert set(of_class(prompt, "LuminaNextLoadModel", "CLIPTextEncode", "KSampler", "VAEDecode")) <= again.cached
    assert not again.of("progress")


def test_seed_size_and_prompt_each_change_the_picture(client):
    def picture(prompt: dict) -> np.ndarray:
        return client.images(client.run(prompt))[0]

    base = saving(with_inputs(load("text_to_image"), "KSampler", seed=3000, steps=4), picture="8")
    first, other_seed = picture(base), picture(with_inputs(base, "KSampler", seed=3001))
    wide = picture(with_inputs(base, "EmptyLatentImage", width=128, height=96))
    other_text = picture(with_inputs(base, "CLIPTextEncode", text="a blue boat"))
    assert first.shape == (64, 64, 3) and wide.shape == (96, 128, 3)
    assert not np.array_equal(first, other_seed)
    assert not np.array_equal(first, other_text)
    # The first run again, with other runs between: the same seed is the same picture.
    assert np.array_equal(first, picture(base))


def test_image_to_image_keeps_part_of_the_first_picture(client):
    def distance(denoise: float) -> float:
        prompt = in_few_steps(load("image_to_image"), 8)
        second = next(n for n in of_class(prompt, "KSampler") if prompt[n]["inputs"]["denoise"] < 1)
        prompt[second]["inputs"]["denoise"] = denoise
        run = client.run(saving(prompt, before="8", after="13"))
        before, after = (saved_by(client, run, name).astype(float) for name in ("before", "after"))
        return np.abs(after - before).mean()

    assert distance(0.1) < distance(0.6)


def test_inpainting_changes_only_the_masked_square(client):
    run = client.run(saving(in_few_steps(load("inpaint"), 8), before="8", after="17"))
    before, after = (saved_by(client, run, name) for name in ("before", "after"))
    difference = np.abs(after.astype(int) - before.astype(int)).max(axis=-1)
    inside = np.zeros(difference.shape, bool)
    inside[16:48, 16:48] = True
    assert difference[~inside].max() <= 1, "pixels outside the mask changed"
    assert difference[inside].mean() > 2, "pixels inside the mask did not change"


def test_outpainting_keeps_the_picture_and_fills_the_rest(client):
    run = client.run(saving(in_few_steps(load("outpaint"), 8), before="8", after="15"))
    before, after = (saved_by(client, run, name) for name in ("before", "after"))
    assert before.shape == (64, 64, 3) and after.shape == (64, 128, 3)
    kept = np.abs(after[:, :56].astype(int) - before[:, :56])
    assert kept.max() <= 1, "pixels that the feathered seam does not reach have changed"
    assert after[:, 64:].std() > 10 and not np.array_equal(after[:, 64:], before)


def test_differential_diffusion_changes_more_to_the_right(client):
    prompt = saving(in_few_steps(load("differential_diffusion"), 10), before="8", after="17")
    run = client.run(prompt)
    before, after = (saved_by(client, run, name) for name in ("before", "after"))
    change = np.abs(after.astype(int) - before).mean(axis=(0, 2))
    assert change[:4].max() <= 2, "the left edge was to stay"
    assert change[48:].mean() > 3 * change[:16].mean()
    without = with_inputs(prompt, "KSampler", model=["1", 0])  # a plain grey mask
    assert not np.array_equal(saved_by(client, client.run(without), "after"), after)


def test_the_second_pass_keeps_the_composition_at_twice_the_size(client):
    prompt = saving(load("hires_fix"), first="8", second="13")
    run = client.run(prompt)
    first, second = (saved_by(client, run, name).astype(float) for name in ("first", "second"))
    assert second.shape == (128, 128, 3)
    shrunk = second.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    other = with_inputs(prompt, "LuminaNextScaledRope", method="extrapolation")
    assert not np.array_equal(saved_by(client, client.run(other), "second"), second)
    assert np.corrcoef(shrunk.ravel(), first.ravel())[0, 1] > 0.8


def test_variations_go_further_with_more_noise(client):
    prompt = load("variations")
    prompt["first"] = {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["3", 0]}}
    run = client.run(saving(prompt, first="first", close="13", far="14"))
    first, close, far = (all_saved_by(client, run, name) for name in ("first", "close", "far"))

    def apart(pictures: list[np.ndarray]) -> list[float]:
        assert len({picture.tobytes() for picture in pictures}) == 4
        return [float(np.abs(picture.astype(int) - first[0]).mean()) for picture in pictures]

    assert 0 < np.mean(apart(close)) < np.mean(apart(far))


def test_a_trained_lora_changes_the_picture_and_its_file_does_the_same(client, server):
    saved = {"before": "22", "after": "23"}
    prompt = saving(with_inputs(load("train_lora"), "TrainLoraNode", steps=6, learning_rate=0.01), **saved)
    run = client.run(prompt)
    assert run.status == "success", run.error
    before, after = (saved_by(client, run, name) for name in saved)
    assert after.mean() < before.mean() - 5, "trained on dark pictures, it does not draw darker"
    (file,) = (server.base / "output/loras").glob("lumina-next-demo-inverted_6_steps_*.safetensors")
    (server.base / "models/loras" / file.name).write_bytes(file.read_bytes())
    # the file does the same in both loaders, ours being strict about its keys
    pictures = []
    for node, inputs in (
        ("LoraLoaderModelOnly", {"strength_model": 1.0}),
        ("LuminaNextLoadLora", {"strength": 1.0, "unmatched": "error"}),
    ):
        again = saving(load("train_lora"), **saved)
        (loader,) = of_class(again, "LoraModelLoader")
        model = again[loader]["inputs"]["model"]
        again[loader] = {"class_type": node, "inputs": {"model": model, "lora_name": file.name, **inputs}}
        for gone in of_class(again, "TrainLoraNode", "SaveLoRA"):
            del again[gone]
        pictures.append(saved_by(client, client.run(again), "after"))
    assert np.array_equal(*pictures) and np.abs(pictures[0].astype(int) - after).max() <= 2


def saved_by(client, run, name: str) -> np.ndarray:
    """The picture whose file name starts with `name`; branches of a graph end in any order."""
    (picture,) = all_saved_by(client, run, name)
    return picture


def all_saved_by(client, run, name: str) -> list[np.ndarray]:
    """The pictures whose file names start with `name`, in the order of a batch."""
    files = [
        image for output in run.outputs.values() for image in output.get("images", []) if image["type"] == "output"
    ]
    pictures = client.images(run)
    return [
        picture for image, picture in zip(files, pictures, strict=True) if image["filename"].startswith(f"{name}_0")
    ]


def test_each_language_gets_its_own_picture(client):
    prompt = in_few_steps(load("multilingual"))
    grid = client.images(client.run(prompt))[0]
    padding, cell = 4, 256
    assert grid.shape == (2 * cell + padding, 4 * cell + 3 * padding, 3)
    corners = [(row * (cell + padding), column * (cell + padding)) for row in range(2) for column in range(4)]
    pictures = {grid[y : y + cell, x : x + cell].tobytes() for y, x in corners}
    assert len(pictures) == 8
