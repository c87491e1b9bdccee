"""The pack's own models of sounds and music through a real server: from text, in order, longer, varied, repainted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lumina_next.demo import FOLDER
from lumina_next.nextdit.encoders.audio.mel import Mel
from lumina_next.pipelines import AudioRequest, Models, Sampling, Sound, audio, read_sound
from lumina_next.tests.host.test_workflows import in_few_steps, load, of_class, with_inputs
from lumina_next.tests.support.comfy_client import Rejected
from lumina_next.tests.support.untrained_audio import SPECTRA, write_spectra

STEPS = 4
DEMO = FOLDER / "diffusion_models"


def fast(name: str, **sampler) -> dict:
    return with_inputs(in_few_steps(load(name), STEPS), "KSampler", **sampler)


def spectrum(sound) -> np.ndarray:
    """The mel spectrum (80, frames)."""
    return Mel()(sound.samples[None])[0].numpy()


def one(client, prompt: dict):
    (sound,) = client.sounds(client.run(prompt))
    return sound


def test_prompt_seed_length_and_model_each_change_the_sound(client):
    base = fast("text_to_sound", seed=11)
    changed = (
        base,
        fast("text_to_sound", seed=12),
        with_inputs(base, "CLIPTextEncode", text="church bells"),
        with_inputs(base, "LuminaNextLoadAudioModel", model_name="lumina-next-demo-music.safetensors"),
        with_inputs(base, "LuminaNextEmptyAudio", seconds=2.0),
    )
    sounds = [one(client, prompt) for prompt in changed]
    assert len({sound.samples.numpy().tobytes() for sound in sounds}) == len(changed)
    assert sounds[0].rate == 16000 and sounds[-1].seconds == pytest.approx(2.0, abs=0.03)
    again = one(client, with_inputs(base, "KSampler", seed=11))
    assert np.array_equal(again.samples, sounds[0].samples)


def test_a_spectrogram_is_shown_at_each_step(client):
    run = client.run(fast("text_to_sound", seed=21))
    assert len(run.previews) >= STEPS - 1 and {frame.size for frame in run.previews} == {(512, 160)}  # twice as large
    first, last = (np.asarray(run.previews[i].convert("L")).astype(float) for i in (0, -1))
    assert last.std() > 5 and np.abs(last - first).mean() > 1


def test_stock_nodes_load_and_start_it_too(client):
    """Load Diffusion Model, the text encoder's own loader and Empty Latent Audio around the same weights."""
    prompt = fast("text_to_sound", seed=31)
    expected = one(client, prompt)
    prompt["10"] = {
        "class_type": "UNETLoader",
        "inputs": {"unet_name": "lumina-next-demo-sounds.safetensors", "weight_dtype": "default"},
    }
    (encoder,) = of_class(load("image_to_image"), "LuminaNextLoadTextEncoder")
    prompt["11"] = load("image_to_image")[encoder]
    prompt = with_inputs(prompt, "KSampler", model=["10", 0])
    prompt = with_inputs(prompt, "CLIPTextEncode", clip=["11", 0])
    assert (one(client, prompt).samples - expected.samples).abs().max() < 1e-3
    (empty,) = of_class(prompt, "LuminaNextEmptyAudio")
    prompt[empty] = {"class_type": "EmptyLatentAudio", "inputs": {"seconds": 3.0, "batch_size": 1}}
    assert one(client, prompt).seconds == pytest.approx(3.0, abs=0.1)


def test_the_command_line_s_pipeline_makes_the_same_sound(client, server):
    prompt = fast("text_to_sound", seed=36)
    made = spectrum(one(client, prompt))
    name = load("text_to_sound")["1"]["inputs"]["model_name"]
    file = next(file for file in (DEMO / name, server.base / "models/diffusion_models" / name) if file.is_file())
    sampling = Sampling(STEPS, "uniform", cfg=3.0)
    words, models = load("text_to_sound")["2"]["inputs"]["text"], Models(file)
    same, other = (
        spectrum(audio(AudioRequest(words, seconds=4.096, seed=seed, sampling=sampling), models))[:, : made.shape[1]]
        for seed in (36, 37)
    )
    near, far = (np.corrcoef(x.ravel(), made.ravel())[0, 1] for x in (same, other))  # whatever their loudness
    assert near > 0.8 and far < 0.5, (near, far)


def test_the_order_of_sounds_is_the_captions(client):
    prompt = fast("sounds_in_order", seed=41)
    run = client.run(prompt)
    (node,) = of_class(prompt, "LuminaNextStructuredCaption")
    assert run.texts[node] == ["<dog bark& start>@<church bell& end>"]
    other = with_inputs(prompt, "LuminaNextStructuredCaption", start="church bell", end="dog bark")
    assert not np.array_equal(one(client, other).samples, client.sounds(run)[0].samples)


def test_a_longer_sound_is_stretched_and_said_so(client):
    prompt = fast("longer_sound", seed=51)
    run = client.run(prompt)
    (sound,) = client.sounds(run)
    (rope,), (empty,), (sampler,) = (
        of_class(prompt, name) for name in ("LuminaNextScaledRope", "LuminaNextEmptyAudio", "KSampler")
    )
    assert sound.seconds == pytest.approx(8.19, abs=0.03)
    assert "8.2 s is 2 times the 4.1 s of the model's training: auto" in run.texts[rope][-1]
    assert "8.2 s is past the 4.1 s of the model's training" in run.texts[empty][-1]
    assert sampler not in run.texts
    without = with_inputs(with_inputs(prompt, "KSampler", model=["1", 0]), "CLIPTextEncode", text="church bells")
    without = {key: node for key, node in without.items() if key != rope}
    run = client.run(without)
    assert "8.2 s is past the 4.1 s of the model's training" in run.texts[sampler][-1]
    assert not np.array_equal(client.sounds(run)[0].samples, sound.samples)


@pytest.fixture(scope="module")
def recording(server):
    """A file in ComfyUI's input folder: chords, quiet enough for VAE Decode Audio to leave them as loud as they are."""
    time = torch.arange(4 * 44100) / 44100
    chords = torch.stack(
        [torch.stack([torch.sin(2 * torch.pi * f * time) for f in (f, 2 * f, 3 * f)]).sum(0) for f in (220, 277)]
    )
    sound = Sound(0.05 * torch.where((time % 1) < 0.5, *chords), 44100, {})
    sound.save(server.base / "input/chords.wav")
    return sound.at(16000)


def of_recording(prompt: dict) -> dict:
    """A copy of a prompt in which the recording takes the place of the first sound."""
    (encode,) = of_class(prompt, "VAEEncodeAudio")
    gone = of_class(prompt, "PreviewAudio") + [prompt[encode]["inputs"]["audio"][0]]
    prompt = {key: node for key, node in prompt.items() if key not in gone}
    prompt["file"] = {"class_type": "LoadAudio", "inputs": {"audio": "chords.wav"}}
    prompt = with_inputs(prompt, "LuminaNextSpliceAudio", original=["file", 0])
    return with_inputs(prompt, "VAEEncodeAudio", audio=["file", 0])


def test_less_denoise_leaves_more_of_a_sound(client, recording):
    distances = []
    for denoise in (0.02, 0.6, 1.0):
        prompt = with_inputs(of_recording(fast("sound_variation")), "KSampler", seed=61, denoise=denoise)
        varied = one(client, prompt)
        assert varied.rate == 16000 and varied.seconds == pytest.approx(4.0, abs=0.03)
        distances.append(np.abs(spectrum(varied)[:, :250] - spectrum(recording)[:, :250]).mean())
    assert 2 * distances[0] < distances[1] < distances[2]


def test_only_the_masked_seconds_are_made_anew(client, server, recording):
    prompt = of_recording(fast("repaint_sound", seed=71))
    (decode,) = of_class(prompt, "VAEDecodeAudio")
    prompt["decoded"] = {"class_type": "PreviewAudio", "inputs": {"audio": [decode, 0]}}
    run = client.run(prompt)
    ((decoded,), (after,)) = client.sounds(run, "temp"), client.sounds(run)
    difference = spectrum(decoded)[:, :250] - spectrum(recording)[:, :250]
    begin, end = (round(62.5 * second) for second in (1.5, 2.6))
    kept = np.concatenate([difference[:, 4 : begin - 4], difference[:, end + 4 : 246]], axis=1)
    louder = np.median(kept)  # VAE Decode Audio makes what is too loud quieter, all of it
    assert np.abs(difference[:, begin + 4 : end - 4] - louder).mean() > 3 * np.abs(kept - louder).mean()
    before = read_sound(server.base / "input/chords.wav")
    assert (after.rate, after.seconds) == (44100, 4.0)
    change = (after.samples - before.samples).abs()
    assert change[: round(1.49 * 44100)].max() < 1e-4 and change[round(2.61 * 44100) :].max() < 1e-4
    assert change[round(1.6 * 44100) : round(2.5 * 44100)].mean() > 1e-3
    (mask,), (splice,) = (of_class(prompt, f"LuminaNext{name}") for name in ("AudioTimeMask", "SpliceAudio"))
    assert run.texts[mask] == ["1.50 to 2.59 s of 4.00 s are made anew"]
    assert run.texts[splice] == ["1.50 to 2.60 s of 4.00 s are from the changed sound"]


def test_wrong_input_is_an_error_that_helps(client, recording):
    for seconds in (0, 10_000):
        with pytest.raises(Rejected, match="seconds"):
            client.run(with_inputs(load("text_to_sound"), "LuminaNextEmptyAudio", seconds=seconds))

    def error(prompt: dict) -> str:
        run = client.run(prompt)
        assert run.status == "error"
        return run.error

    late = with_inputs(of_recording(fast("repaint_sound", seed=81)), "LuminaNextAudioTimeMask", start=5.0, end=6.0)
    assert "start is 5 s, but the sound is 4.00 s long" in error(late)
    picture = fast("text_to_sound", seed=82)
    picture["4"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    assert "start from empty audio, not from an empty picture" in error(picture)
    other = with_inputs(
        fast("text_to_sound"), "LuminaNextLoadAudioModel", model_name="lumina-next-demo-video.safetensors"
    )
    assert "is no audio model of Lumina's but" in error(other)


@pytest.fixture
def without_encoder(server):
    """A model like the demo's that takes text features of another width."""
    file = server.base / "models/diffusion_models/other-sounds.safetensors"
    write_spectra(file, replace(SPECTRA, text_dim=64))
    yield file.name
    file.unlink()


def test_a_model_without_its_text_encoder_says_what_to_connect(client, without_encoder):
    prompt = with_inputs(fast("text_to_sound"), "LuminaNextLoadAudioModel", model_name=without_encoder)
    run = client.run(prompt)
    assert run.status == "error" and "has no text encoder in it, and takes text features 64 wide" in run.error
    assert run.error_class == "ValueError"
