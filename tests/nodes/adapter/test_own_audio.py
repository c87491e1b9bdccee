"""Audio models of spectra in ComfyUI, as those in the box: what they need, what is shown, masked and refused."""

from dataclasses import replace

import comfy.sd
import comfy_extras.nodes_audio as stock_audio
import folder_paths
import latent_preview
import numpy as np
import pytest
import torch
from comfy.cli_args import LatentPreviewMethod, args

from lumina_next.nodes.adapter.audio import loading as audio_loading
from lumina_next.nodes.adapter.audio.time_mask import mask_time
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.audio.empty_audio import EmptyAudio
from lumina_next.tests.support.audio_runs import encode, only_checkpoints, sample
from lumina_next.tests.support.untrained_audio import SPECTRA, write_released, write_spectra


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of models/checkpoints with a model as the demo's are, and one of latents."""
    root = tmp_path_factory.mktemp("checkpoints")
    write_released(root / "Lumina-T2Music", sounds=False)
    write_spectra(root / "spectra.safetensors")
    with only_checkpoints(root):
        yield root


@pytest.fixture(scope="module")
def spectra(models):
    """MODEL, CLIP and VAE of a model as the demo's are, and what is told of it."""
    return audio_loading.load("spectra.safetensors")


@pytest.fixture(scope="module")
def latents(models):
    """The same of a released one."""
    return audio_loading.load("Lumina-T2Music")


def test_a_model_of_spectra_needs_nothing_beside_it(spectra):
    """The demo's text encoder fits, Griffin-Lim makes the sound, and stock nodes do the rest."""
    model, clip, vae, told = spectra
    assert told == "Next-DiT, text to audio, 4 s in training, 16 kHz mono; by Griffin-Lim"
    features = encode(clip, "a dog bark")[0][0]
    assert features.shape[-1] == 128
    empty = stock_audio.EmptyLatentAudio.execute(2.0, 1).result[0]
    made = sample(model, clip, empty)
    assert made.shape == (1, 80, pytest.approx(125, abs=3))
    sound = stock_audio.VAEDecodeAudio.execute(vae, {**empty, "samples": made}).result[0]
    assert sound["sample_rate"] == 16000 and sound["waveform"].shape == (1, 1, made.shape[-1] * 256)
    assert sound["waveform"].abs().max() <= 1 and sound["waveform"].std() > 1e-3
    assert vae.decode(torch.full_like(made, 9.0)).isfinite().all()  # an overshoot is no other loudness
    again = stock_audio.VAEEncodeAudio.execute(vae, sound).result[0]["samples"]
    assert again.shape == made.shape


@pytest.mark.parametrize("level", [0.05, 0.9])
def test_what_core_makes_quieter_is_not_made_quieter_again(spectra, level):
    """Decoded, encoded and decoded again, as for a variation: quiet sound stays as it is, loud sound as it became."""
    time = torch.arange(32000) / 16000
    sound = {"waveform": level * torch.sin(2 * torch.pi * 330 * time)[None, None], "sample_rate": 16000}
    levels = [float(sound["waveform"].std())]
    for _ in range(3):
        latent = stock_audio.VAEEncodeAudio.execute(spectra[2], sound).result[0]
        sound = stock_audio.VAEDecodeAudio.execute(spectra[2], latent).result[0]
        levels.append(float(sound["waveform"].std()))
    expected = min(levels[0], 0.2)
    assert levels[1:] == pytest.approx([expected] * 3, rel=0.1)


def test_a_model_without_its_text_encoder_says_which_it_needs(models):
    write_spectra(models / "other.safetensors", replace(SPECTRA, text_dim=64))
    folder_paths.filename_list_cache.clear()
    _, clip, vae, told = audio_loading.load("other.safetensors")
    assert told.endswith("by Griffin-Lim; no text encoder") and vae.latent_channels == 80
    for use in (clip.tokenize, clip.clone):
        with pytest.raises(ValueError, match=r"other\.safetensors has no text encoder in it, .* 64 wide: connect"):
            use("a dog")


def test_a_stretch_of_time_is_masked_and_made_anew(spectra, latents):
    model, clip, vae, _ = spectra
    samples = torch.full((1, 80, 125), -3.0)
    latent, told = mask_time({"samples": samples, "type": "audio"}, vae, 0.5, 1.0)
    assert told == "0.50 to 0.99 s of 2.00 s are made anew" and latent["type"] == "audio"
    assert latent["noise_mask"].shape == (1, 1, 125) and latent["noise_mask"][..., 31:62].all()
    assert latent["noise_mask"].sum() == 31
    made = sample(model, clip, {"samples": samples}, noise_mask=latent["noise_mask"])
    kept = latent["noise_mask"][0, 0] == 0
    torch.testing.assert_close(made[..., kept], samples[..., kept], rtol=1e-4, atol=1e-4)
    assert (made[..., ~kept] - samples[..., ~kept]).abs().mean() > 0.1
    both, told = mask_time(latent, vae, 1.9, 0)
    assert both["noise_mask"][..., 119:].all() and both["noise_mask"].sum() == 31 + 6
    assert told == "1.90 to 2.00 s of 2.00 s are made anew"
    assert mask_time({"samples": samples}, vae, 0.5, 90.0)[0]["noise_mask"].sum() == 125 - 31
    assert mask_time({"samples": samples}, vae, 0.5, 0.501)[0]["noise_mask"].sum() == 1
    assert mask_time({"samples": torch.zeros(1, 20, 63)}, latents[2], 0.0, 1.0)[0]["noise_mask"].sum() == 31
    for start, end, says in ((2.0, 0, "start is 2 s, but the sound is 2.00 s"), (1.0, 1.0, "end is 1 s, not after")):
        with pytest.raises(ValueError, match=says):
            mask_time({"samples": samples}, vae, start, end)
    with pytest.raises(ValueError, match="expected a latent of sound"):
        mask_time({"samples": torch.zeros(1, 4, 8, 8)}, vae, 0.0, 1.0)
    with pytest.raises(ValueError, match="is not one of sound"):
        mask_time({"samples": samples}, comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}), 0.0, 1.0)


def test_masks_times_and_latents_that_do_not_fit_are_refused(spectra, latents):
    """Values and masks come from other nodes too, which no input's range holds."""
    samples, vae = torch.zeros(1, 80, 125), spectra[2]
    for start, end, says in ((-1.0, 0.5, "start"), (0.5, -1.0, "end"), (float("nan"), 1, "start"), (0, 1e999, "end")):
        with pytest.raises(ValueError, match=f"{says} must be a time in seconds, 0 or more, got"):
            mask_time({"samples": samples}, vae, start, end)
    for mask in (torch.ones(1, 1, 200), torch.ones(1, 64, 64), torch.ones(2, 1, 8, 8)):
        with pytest.raises(ValueError, match=r"a noise mask of \(.*\), but 125 frames: .* set the mask after that"):
            mask_time({"samples": samples, "noise_mask": mask}, vae, 0.5, 1.0)
    for mask in (torch.ones(1, 125), torch.ones(2, 1, 1, 125)):  # from Set Latent Noise Mask
        kept = mask_time({"samples": samples, "noise_mask": mask}, vae, 0.5, 1.0)[0]["noise_mask"]
        assert kept.shape == (len(mask), 1, 125) and kept.all()
    with pytest.raises(
        ValueError, match="the latent has 80 channels, but this VAE's have 20: connect the VAE that made"
    ):
        mask_time({"samples": samples}, latents[2], 0.5, 1.0)
    with pytest.raises(ValueError, match="the latent is empty: it has no frames"):
        mask_time({"samples": samples[..., :0]}, vae, 0.5, 1.0)


def test_what_is_no_sound_is_refused_on_both_ways(spectra):
    broken = {"waveform": torch.full((1, 1, 9000), float("nan")), "sample_rate": 16000}
    with pytest.raises(ValueError, match="samples that are NaN or infinite"):
        stock_audio.VAEEncodeAudio.execute(spectra[2], broken)
    with pytest.raises(ValueError, match="the audio is empty: it has no samples"):
        stock_audio.VAEEncodeAudio.execute(spectra[2], broken | {"waveform": torch.zeros(1, 1, 0)})
    with pytest.raises(ValueError, match="the latent is empty: it has no frames"):
        stock_audio.VAEDecodeAudio.execute(spectra[2], {"samples": torch.zeros(1, 80, 0)})
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        EmptyAudio.execute(spectra[0], 1.0, 0)
    one = stock_audio.VAEDecodeAudio.execute(spectra[2], {"samples": torch.zeros(1, 80, 1)}).result[0]["waveform"]
    assert one.shape == (1, 1, 256) and one.isfinite().all()


@pytest.mark.parametrize("seconds", [0.0, -1.0, 600.1, 10_000.0, float("nan")])
def test_lengths_that_cannot_be_are_refused(latents, seconds):
    with pytest.raises(ValueError, match="seconds must be above 0 and at most 600, got"):
        EmptyAudio.execute(latents[0], seconds, 1)


def test_what_only_metadata_say_is_kept_by_core_too(spectra, tmp_path):
    path = str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, spectra[0])
    for model in (spectra[0], loading.load(path), comfy.sd.load_diffusion_model(path)):
        assert model.model.diffusion_model.config == SPECTRA


@pytest.mark.parametrize("method", LatentPreviewMethod)
def test_a_spectrogram_is_drawn_while_it_samples(latents, spectra, monkeypatch, method):
    monkeypatch.setattr(args, "preview_method", method)
    for model, frames, size in (
        (spectra[0], 256, (256, 80)),
        (spectra[0], 640, (640, 160)),
        (latents[0], 312, (312, 80)),
    ):
        previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        if method == LatentPreviewMethod.NoPreviews:
            assert previewer is None
            continue
        silence = torch.full((2, model.model.latent_format.latent_channels, frames), -5.0)
        seen = model.model.latent_format.process_in(silence) if model is spectra[0] else torch.zeros_like(silence)
        seen[:, :2, : frames // 2] = 3.0  # low tones in the first half
        _, picture, _ = previewer.decode_latent_to_preview_image("JPEG", seen)
        assert picture.size == size
        bright = torch.tensor(np.asarray(picture.convert("L")).tolist()) > 128
        assert bright[-1, : frames // 2].all() and not bright[-1, frames // 2 :].any() and not bright[0].any()
