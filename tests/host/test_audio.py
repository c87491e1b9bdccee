"""Audio through a real server: the official workflows on stand-ins, stock nodes around them, and what is said."""

import av
import numpy as np
import pytest

from lumina_next.tests.host.test_workflows import load, of_class, with_inputs

WORKFLOWS = {"official_text_to_audio": 154, "official_text_to_music": 77}
RATE = 16000


def fast(name: str, seconds: float = 1.0, steps: int = 2, **sampler) -> dict:
    prompt = with_inputs(load(name), "LuminaNextEmptyAudio", seconds=seconds)
    return with_inputs(prompt, "KSampler", steps=steps, **sampler)


def heard(server, run) -> tuple[np.ndarray, int]:
    """The sound (channels, samples) that a run played or saved last, and its rate."""
    assert run.status == "success", run.error
    *_, found = (entry for output in run.outputs.values() for entry in output.get("audio", []))
    folder = server.base / ("temp" if found["type"] == "temp" else "output") / found["subfolder"]
    with av.open(str(folder / found["filename"])) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        stream = file.streams.audio[0]
        sound = np.concatenate([frame.reshape(stream.channels, -1) for frame in frames], axis=1)
        return sound / (32768 if sound.dtype.kind == "i" else 1), stream.rate


@pytest.mark.parametrize("name", WORKFLOWS)
def test_an_official_workflow_makes_sound_of_the_length_that_was_asked_for(official_files, server, client, name):
    run = client.run(fast(name))
    sound, rate = heard(server, run)
    assert rate == RATE and sound.shape == (1, 31 * 512) and sound.std() > 1e-3
    (empty,) = of_class(load(name), "LuminaNextEmptyAudio")
    (loader,) = of_class(load(name), "LuminaNextLoadAudioModel")
    assert run.texts[empty] == ["0.99 s, 31 frames"]
    if loader not in run.cached:
        assert run.texts[loader] == ["Flag-DiT, text to audio, 10 s in training, 16 kHz mono; by bigvnat"]


def test_seed_prompt_and_order_of_sounds_each_change_what_is_heard(official_files, server, client):
    base = fast("official_text_to_audio")
    changes = (
        base,
        with_inputs(base, "KSampler", seed=2),
        with_inputs(base, "LuminaNextStructuredCaption", caption="Rain falls"),
        with_inputs(base, "LuminaNextStructuredCaption", start="thunder", end="a dog barking; birds chirping"),
        with_inputs(base, "LuminaNextLoadAudioModel", vocoder="griffin_lim"),
    )
    sounds = [heard(server, client.run(prompt))[0] for prompt in changes]
    assert len({sound.tobytes() for sound in sounds}) == len(changes)
    again = with_inputs(base, "KSampler", seed=1)
    assert np.array_equal(heard(server, client.run(again))[0], sounds[0])


def test_past_the_training_length_the_nodes_say_so_and_stock_lengths_work(official_files, server, client):
    run = client.run(fast("official_text_to_music", seconds=15.0, steps=1))
    sound, _ = heard(server, run)
    assert sound.shape[1] == 469 * 512
    for node in of_class(load("official_text_to_music"), "LuminaNextEmptyAudio", "KSampler"):
        assert any("15.0 s is past the 10.0 s" in text for text in run.texts[node])
    stock = fast("official_text_to_music")
    stock["4"] = {"class_type": "EmptyLatentAudio", "inputs": {"seconds": 3.0, "batch_size": 1}}
    assert heard(server, client.run(stock))[0].shape[1] == pytest.approx(3.0 * RATE, rel=0.03)


def test_a_sound_is_varied_and_a_stretch_of_it_repainted(official_files, server, client):
    """VAE Encode Audio on what VAE Decode Audio made, then less than a whole run on it."""
    prompt = fast("official_text_to_audio")
    prompt["9"] = {"class_type": "VAEEncodeAudio", "inputs": {"audio": ["7", 0], "vae": ["1", 2]}}
    prompt["10"] = {
        "class_type": "KSampler",
        "inputs": prompt["6"]["inputs"] | {"latent_image": ["9", 0], "denoise": 0.5},
    }
    prompt["11"] = {"class_type": "VAEDecodeAudio", "inputs": {"samples": ["10", 0], "vae": ["1", 2]}}
    prompt["12"] = {"class_type": "PreviewAudio", "inputs": {"audio": ["11", 0]}}
    del prompt["8"]
    varied, _ = heard(server, client.run(prompt))
    assert varied.shape == (1, 31 * 512) and varied.std() > 1e-3


def test_what_is_not_there_is_said(official_files, server, client):
    folder = server.base / "models/checkpoints/Lumina-T2Audio"
    hidden = folder / "bert-base-uncased"
    hidden.rename(server.base / "hidden")
    try:
        prompt = with_inputs(
            fast("official_text_to_audio"), "LuminaNextLoadAudioModel", vocoder="Lumina-T2Music/bigvnat"
        )
        run = client.run(prompt)
    finally:
        (server.base / "hidden").rename(hidden)
    assert run.status == "error" and "BERT's tokenizer is missing" in str(run.error)
