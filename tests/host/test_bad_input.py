"""Each bad input ends with a message that says what was wrong, and the server goes on working."""

import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.tests.host.test_workflows import load, with_inputs
from lumina_next.tests.support.checkpoints import write_gemma
from lumina_next.tests.support.comfy_client import Rejected
from lumina_next.tests.support.graphs import MODEL, STEPS, TextToImage


@pytest.fixture(autouse=True)
def still_works(client):
    """After every bad input a good prompt succeeds."""
    yield
    graph = TextToImage()
    assert client.run(graph.show(graph.sample(steps=1))).status == "success"


def error_of(client, graph) -> str:
    run = client.run(graph)
    assert run.status == "error"
    assert "." not in run.error_class, "ComfyUI shows the path of a class that is not a builtin"
    return run.error


def from_latent_file(server, samples: torch.Tensor) -> TextToImage:
    """A prompt that starts from a latent file, as Load Latent reads it."""
    tensors = {"latent_tensor": samples, "latent_format_version_0": torch.tensor([])}
    save_file(tensors, server.base / "input/bad.latent")
    graph = TextToImage()
    latent = graph.add("LoadLatent", latent="bad.latent")
    return graph.show(graph.sample(latent_image=latent, denoise=0.5))


def test_latent_with_the_wrong_channel_count(server, client):
    message = error_of(client, from_latent_file(server, torch.ones(1, 4, 16, 16)))
    assert "4" in message and "3" in message and "channel" in message


VIDEO = {"width": 64, "height": 64, "length": 1, "batch_size": 1}


def test_an_empty_latent_for_video(client):
    graph = TextToImage()
    graph.latent = graph.add("EmptyHunyuanLatentVideo", **VIDEO)
    message = error_of(client, graph.show(graph.sample()))
    assert "latent has 5 dimensions" in message and "batch, channels, height, width" in message


@pytest.mark.parametrize("shape", [(1, 3, 1, 16, 16), (1, 3, 4, 16, 16), (3, 16, 16), (1, 3, 16)])
def test_latent_with_another_number_of_dimensions(server, client, shape):
    message = error_of(client, from_latent_file(server, torch.ones(shape)))
    assert f"latent has {len(shape)} dimensions" in message and "height, width" in message


def test_an_empty_latent_for_video_and_a_multi_view_model(client):
    prompt = load("text_to_views")
    latent = {"class_type": "EmptyHunyuanLatentVideo", "inputs": VIDEO | {"batch_size": 4}}
    message = error_of(client, with_inputs(prompt | {"video": latent}, "KSampler", latent_image=["video", 0]))
    assert "latent has 5 dimensions" in message and "batch, channels, height, width" in message


@pytest.mark.parametrize("size", [(1, 1), (1, 16), (13, 1)])
def test_a_side_shorter_than_a_patch_is_no_error(server, client, size):
    assert client.run(from_latent_file(server, torch.ones(1, 3, *size))).status == "success"


def test_nan_in_a_latent(server, client):
    samples = torch.ones(1, 3, 16, 16)
    samples[0, 0, 0, 0] = float("nan")
    assert "NaN" in error_of(client, from_latent_file(server, samples))


def test_text_encoder_of_another_width(server, client):
    write_gemma(server.base / "models/text_encoders/narrow", hidden=32)
    graph = TextToImage()
    graph.clip = graph.load_text_encoder("narrow")
    message = error_of(client, graph.show(graph.sample(positive=graph.encode("a fox"))))
    assert "32" in message and "64" in message


@pytest.mark.parametrize("steps", [0, -5])
def test_steps_below_one_are_refused(client, steps):
    graph = TextToImage()
    with pytest.raises(Rejected, match="value_smaller_than_min"):
        client.queue(graph.show(graph.sample(steps=steps)))


def test_unknown_model_name_is_refused(client):
    graph = TextToImage(model_name="nowhere.safetensors")
    with pytest.raises(Rejected, match="value_not_in_list"):
        client.queue(graph.show(graph.sample()))


def test_file_removed_between_listing_and_loading(server, client):
    file = server.base / "models/diffusion_models/removed.safetensors"
    shutil.copy(server.base / "models/diffusion_models" / MODEL, file)
    busy, late = TextToImage(), TextToImage(model_name=file.name)
    first = client.queue(busy.show(busy.sample(steps=100, seed=8)))
    second = client.queue(late.show(late.sample()))
    file.unlink()
    runs = client.wait(first, second)
    assert [run.status for run in runs] == ["success", "error"]
    assert file.name in runs[1].error


BROKEN = {
    "truncated": (lambda file, good: file.write_bytes(good.read_bytes()[:5000]), "truncated|incomplete|damaged"),
    "not safetensors": (lambda file, good: file.write_text("<html>not found</html>"), "safetensors"),
    "another model": (lambda file, good: save_file({"noise_refiner.0.x": torch.ones(1)}, file), "Load Diffusion Model"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file(server, client, kind):
    write, words = BROKEN[kind]
    file = server.base / "models/diffusion_models/broken.safetensors"
    write(file, server.base / "models/diffusion_models" / MODEL)
    graph = TextToImage(model_name=file.name)
    message = error_of(client, graph.show(graph.sample()))
    file.unlink()
    assert "broken.safetensors" in message
    assert any(word in message for word in words.split("|")), message


def test_a_prompt_of_thousands_of_words_is_cut_not_refused(server, client):
    graph = TextToImage(prompt="fox " * 4000)
    run = client.run(graph.show(graph.sample(steps=STEPS)))
    assert run.status == "success"
    told = r"prompt cut by \d+ of \d+ tokens: raise max_tokens"
    assert re.search(told, server.log(60))
    assert re.match(told, run.texts[graph.positive[0]][0]), "the node that encodes says so too"


def test_a_vae_for_other_latents_is_named_before_any_step(official_files, client):
    graph = TextToImage()
    graph.vae = graph.add("VAELoader", vae_name="sdxl_vae.safetensors")
    enlarged = graph.add("LatentUpscaleBy", samples=graph.sample(seed=31), upscale_method="bilinear", scale_by=2.0)
    run = client.run(graph.show(enlarged))
    assert run.error.startswith(
        "VAE Decode has the VAE sdxl_vae.safetensors, for latents of 4 channels, but this model's have 3: choose "
        "pixel_space in Load VAE"
    )
    assert run.error_class == "ValueError" and run.steps("7") == []


def test_pixels_behind_a_model_with_latents_are_refused_too(official_files, client):
    graph = TextToImage("consolidated.00-of-01.safetensors")
    graph.clip = graph.load_text_encoder("gemma-2b")
    graph.positive = graph.negative = graph.encode("a fox")
    message = error_of(client, graph.show(graph.sample()))
    assert "pixel_space, for latents of 3 channels, but this model's have 4: choose an SDXL VAE" in message


@pytest.mark.parametrize("prompt", ["", "🦊💤❄️", "ثعلب أحمر في الثلج", "שועל אדום בשלג", "\x00\u200b\ufeff"])
def test_unusual_prompts_run(client, prompt):
    graph = TextToImage(prompt=prompt)
    assert client.run(graph.show(graph.sample(steps=1))).status == "success"
