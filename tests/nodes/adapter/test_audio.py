"""Audio models in ComfyUI: loaded as they are downloaded, sampled as the reference does, and decoded by stock nodes."""

import comfy.sample
import comfy.sd
import comfy_extras.nodes_audio as stock_audio
import folder_paths
import pytest
import torch

from lumina_next.nextdit import RopeScaling
from lumina_next.nextdit.audio_files import load_audio
from lumina_next.nextdit.layers.rope_choice import AUDIO, choose
from lumina_next.nodes.adapter.audio import loading as audio_loading
from lumina_next.nodes.adapter.models import audio, loading
from lumina_next.nodes.adapter.patches import scaled_rope
from lumina_next.nodes.audio.empty_audio import EmptyAudio
from lumina_next.nodes.audio.structured_caption import StructuredCaption
from lumina_next.tests.support.audio_runs import PROMPT, STEPS, encode, only_checkpoints, sample
from lumina_next.tests.support.untrained_audio import checkpoint, write_released


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of models/checkpoints with both downloads, and the sounds' checkpoint as a file."""
    root = tmp_path_factory.mktemp("checkpoints")
    write_released(root / "Lumina-T2Audio")
    write_released(root / "Lumina-T2Music", sounds=False)
    torch.save({"state_dict": checkpoint()}, root / "Lumina-T2Audio/epoch.ckpt")
    with only_checkpoints(root):
        yield root


@pytest.fixture(scope="module")
def loaded(models):
    return audio_loading.load("Lumina-T2Audio")


def test_downloads_and_files_are_listed_and_found(models):
    names = audio_loading.model_names()
    assert names[:2] == ["Lumina-T2Audio", "Lumina-T2Music"] and "Lumina-T2Audio/epoch.ckpt" in names
    assert audio_loading.vocoder_names()[:2] == ["beside the model", "griffin_lim"]
    assert "Lumina-T2Audio/bigvnat" in audio_loading.vocoder_names()
    with pytest.raises(FileNotFoundError, match="no longer in"):
        audio_loading.find("gone")


def test_a_run_equals_the_reference_s(models, loaded):
    """Euler from noise, all channels guided, whole steps of a thousand, as demo_audio.py samples."""
    model, clip, vae, _ = loaded
    latent = audio.empty_audio(model, 0.5, 1)[0]
    noise = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(1))
    sigmas = torch.linspace(1, 0, STEPS + 1)
    ours = sample(model, clip, latent, noise, sigmas=sigmas)

    parts = load_audio(models / "Lumina-T2Audio")
    x, times = noise, torch.linspace(0, 1, STEPS + 1)
    words, none = (parts.text([text])[0] for text in (PROMPT, ""))
    with torch.no_grad():
        for now, then in zip(times[:-1], times[1:], strict=True):
            with_words, without = (parts.network(x, now[None], text) for text in (words, none))
            x = x + (then - now) * (without + 3.0 * (with_words - without))
        theirs = x / parts.config.scale_factor
        sound = parts.coder.decode(theirs)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    decoded = vae.decode(ours).movedim(-1, 1)
    assert decoded.shape == (1, 1, 16 * 512) and (decoded - sound).abs().max() <= 1e-4


def test_stock_nodes_do_the_rest(loaded):
    model, clip, vae, _ = loaded
    empty = stock_audio.EmptyLatentAudio.execute(2.0, 2).result[0]
    latent = {**empty, "samples": sample(model, clip, empty)}
    assert latent["samples"].shape == (2, 20, pytest.approx(62.5, abs=2))  # core rounds to its own, longer frames
    sound = stock_audio.VAEDecodeAudio.execute(vae, latent).result[0]
    assert sound["sample_rate"] == 16000 and sound["waveform"].shape == (2, 1, latent["samples"].shape[-1] * 512)
    raw = vae.decode(latent["samples"])
    deviation = raw.movedim(-1, 1).std(dim=[1, 2], keepdim=True) * 5
    expected = raw.movedim(-1, 1) / deviation.clamp(min=1)
    torch.testing.assert_close(sound["waveform"], expected)  # made quieter once, by core
    with torch.inference_mode():  # as ComfyUI runs its nodes
        tiled = stock_audio.VAEDecodeAudioTiled.execute(vae, latent, 32, 8).result[0]
    assert tiled["waveform"].shape == sound["waveform"].shape


def test_sound_is_mixed_down_resampled_and_filled_up(loaded):
    model, clip, vae, _ = loaded
    left, right = torch.randn(2, 1, 44100).mul(0.1)
    stereo = {"waveform": torch.stack([left, right], dim=1), "sample_rate": 44100}
    mono = {"waveform": ((left + right) / 2)[None], "sample_rate": 44100}
    found = [stock_audio.VAEEncodeAudio.execute(vae, sound).result[0]["samples"] for sound in (stereo, mono)]
    assert found[0].shape == (1, 20, 32)  # 16000 samples are 31.25 latents
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    variation = sample(model, clip, {"samples": found[0]}, denoise=0.5)
    assert variation.shape == found[0].shape and not torch.allclose(variation, found[0])
    mask = torch.zeros(1, 1, 32)
    mask[..., 16:] = 1
    kept = sample(model, clip, {"samples": found[0]}, noise_mask=mask)
    torch.testing.assert_close(kept[..., :16], found[0][..., :16], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(kept[..., 16:], found[0][..., 16:])


def test_lengths_are_exact_and_warned_of(loaded, caplog):
    model = loaded[0]
    latent, exact = EmptyAudio.execute(model, 9.98, 2).result
    assert latent["samples"].shape == (2, 20, 312) and exact == 9.984 and not caplog.records
    latent, exact = EmptyAudio.execute(model, 20.0, 1).result
    assert latent["samples"].shape[-1] == 625 and "20.0 s is past the 10.0 s" in caplog.text
    caplog.clear()
    sample(model, loaded[1], {"samples": torch.zeros(1, 64, 400)})  # of a stock node that says no length
    assert "12.8 s is past" in caplog.text
    with pytest.raises(ValueError, match="Empty Latent Audio for others"):
        audio.config_of(type("M", (), {"get_model_object": lambda *_: None, "model": None})(), "Empty Lumina Audio")


def test_clip_takes_sentences_and_structured_captions(loaded, models):
    clip = loaded[1]
    both = StructuredCaption.execute(PROMPT).result[0]
    assert both == f"{PROMPT}\n<birds chirping& start>@<thunder& end>"
    features = encode(clip, PROMPT)[0][0]
    assert features.shape == (1, 154, 64)
    torch.testing.assert_close(encode(clip, both)[0][0], features)
    fields = StructuredCaption.execute("", "wind; rain", "dog barking").result
    assert fields[1] == "<wind& all>@<rain& all>@<dog barking& start>"
    assert not torch.allclose(encode(clip, fields[0])[0][0], features)
    expected = load_audio(models / "Lumina-T2Audio").text([PROMPT])[0]
    torch.testing.assert_close(features, expected)
    _, music, _, _ = audio_loading.load("Lumina-T2Music")
    assert encode(music, "slow piano")[0][0].shape == (1, 77, 64)
    words = clip.tokenize("rain " * 100, return_word_ids=True)["t5"][0]
    assert len(words) == 77 and words[0][2] == 1 and ("▁rain" in [word for _, word in clip.tokenizer.untokenize(words)])


def test_a_longer_prompt_is_cut_and_said_so(loaded, caplog):
    loaded[1].tokenize("thunder " * 120)
    assert "prompt cut by" in caplog.text and "77" in caplog.text


def test_saved_by_core_it_is_the_same_model(loaded, tmp_path):
    model, clip = loaded[:2]
    path = str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, model)
    latent = audio.empty_audio(model, 0.5, 1)[0]
    for again in (loading.load(path), comfy.sd.load_diffusion_model(path)):
        assert again.model.diffusion_model.config == model.model.diffusion_model.config
        torch.testing.assert_close(sample(again, clip, latent), sample(model, clip, latent), atol=0, rtol=0)


def test_any_file_of_the_download_loads_alike(loaded, models):
    model, clip = loaded[:2]
    latent = audio.empty_audio(model, 0.5, 1)[0]
    expected = sample(model, clip, latent)
    for again in (
        audio_loading.load("Lumina-T2Audio/epoch.ckpt", "griffin_lim")[0],
        loading.load(models / "Lumina-T2Audio"),
        model.cached_patcher_init[0](*model.cached_patcher_init[1]),
    ):
        torch.testing.assert_close(sample(again, clip, latent), expected, atol=0, rtol=0)


def test_vocoders_are_chosen_and_told(models):
    for vocoder, says in {
        "beside the model": "by bigvnat",
        "griffin_lim": "by Griffin-Lim, which sounds rough",
        "Lumina-T2Music/bigvnat": "by Lumina-T2Music/bigvnat",
    }.items():
        assert audio_loading.load("Lumina-T2Audio", vocoder)[3].endswith(says)
    with pytest.raises(FileNotFoundError, match="gone"):
        audio_loading.load("Lumina-T2Audio", "gone")


def test_other_latents_texts_and_models_are_refused(loaded, models, tmp_path):
    model, clip, vae, _ = loaded
    with pytest.raises(ValueError, match="4 dimensions"):
        sample(model, clip, {"samples": torch.randn(1, 4, 8, 8)})
    with pytest.raises(ValueError, match="use the VAE that belongs"):
        vae.decode(torch.zeros(1, 64, 10))
    with pytest.raises(ValueError, match="16 wide"):
        model.model.check_width(torch.zeros(1, 3, 16))
    torch.save({"state_dict": {"a": torch.zeros(1)}}, models / "other.ckpt")
    folder_paths.filename_list_cache.clear()
    with pytest.raises(ValueError, match=r"other\.ckpt is no audio model"):
        audio_loading.load("other.ckpt")


def test_scaled_rope_stretches_time(loaded, monkeypatch, caplog):
    model, clip, vae, _ = loaded
    long = audio.empty_audio(model, 20.0, 1)[0]
    plain = sample(model, clip, long)
    said = []
    monkeypatch.setattr(scaled_rope, "say", lambda node, text: said.append(text))
    patched, settings = scaled_rope.scale_rope(model, "interpolation")
    caplog.clear()
    calls = []
    velocity = audio.Network.velocity
    monkeypatch.setattr(audio.Network, "velocity", lambda *a: (calls.append(a[5]), velocity(*a))[1])
    stretched = sample(patched, clip, long)
    assert {call.rope for call in calls} == {RopeScaling("interpolation", 625 / 312, train_tokens=312)}
    assert said == ["20.0 s is 2 times the 10.0 s of the model's training: interpolation"] and not caplog.records
    assert not torch.allclose(stretched, plain)
    within = audio.empty_audio(model, 5.0, 1)[0]
    torch.testing.assert_close(sample(patched, clip, within), sample(model, clip, within), rtol=0, atol=0)
    assert said[-1] == "5.0 s is within the 10.0 s of the model's training: nothing changes"
    chosen = scaled_rope.scale_rope(model, "auto", proportional=True)[1]
    assert chosen.why == choose(AUDIO, 312).why and "not measured" not in chosen.why
    assert chosen.method == "time_aware" and chosen.at((1, 400)).proportional
    for latent in (None, long, {"samples": torch.zeros(1, 64, 400), "downscale_ratio_temporal": 2048}):
        assert scaled_rope.draw_readout(model, settings, latent).shape == (1, 250, 360, 3)
    for wrong in ({"train_size": 64}, {"per_axis": True}):
        with pytest.raises(ValueError, match="audio has a length and no"):
            scaled_rope.scale_rope(model, "interpolation", **wrong)


def test_a_repository_of_another_model_with_a_checkpoint_in_it_is_not_listed_as_ours(models, monkeypatch):
    folder = models / "stable-diffusion"
    folder.mkdir()
    torch.save({"state_dict": {}}, folder / "v1-5.ckpt")
    monkeypatch.setattr(loading, "roots", lambda *kinds: [models])
    assert not loading._repositories()
    assert "stable-diffusion" not in audio_loading.model_names()


def test_a_vocoder_saved_anew_is_noticed(tmp_path):
    with only_checkpoints(tmp_path):
        write_released(tmp_path / "Lumina-T2Audio")
        folder = next(file.parent for file in tmp_path.rglob("best_netG.pt"))
        before = audio_loading.fingerprint("Lumina-T2Audio")
        without = audio_loading.fingerprint("Lumina-T2Audio", "griffin_lim")
        weights = folder / "best_netG.pt"
        weights.write_bytes(weights.read_bytes() + b"more")
        assert audio_loading.fingerprint("Lumina-T2Audio") != before
        assert audio_loading.fingerprint("Lumina-T2Audio", "griffin_lim") == without
