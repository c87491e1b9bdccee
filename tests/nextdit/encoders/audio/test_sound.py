"""Mel spectra, the autoencoder and vocoders: what the reference code computes, and files that do not fit."""

import json
import math

import pytest
import torch

from lumina_next.nextdit.encoders.audio.autoencoder import AutoencoderConfig, build_autoencoder
from lumina_next.nextdit.encoders.audio.bigvgan import build_bigvgan, load_bigvgan, without_weight_norm
from lumina_next.nextdit.encoders.audio.mel import Mel
from lumina_next.tests.support.audio_cases import CASES, assert_equal, stored
from lumina_next.tests.support.reference_audio import tone
from lumina_next.tests.support.reference_weights import numbers


@torch.no_grad()
def test_the_autoencoder_equals_the_reference():
    model = build_autoencoder(stored("autoencoder"))
    mean, deviation = model.moments(numbers("mel", (2, 6, 6)))
    assert_equal(mean, "autoencoder", "mean")
    assert_equal(deviation, "autoencoder", "deviation")
    assert_equal(model.decode(numbers("latents", (2, 4, 3))), "autoencoder", "decoded")
    assert model.moments(numbers("mel", (2, 6, 6))[..., :5])[0].shape == (2, 4, 2)  # half a latent is cut off


def test_the_autoencoder_says_what_does_not_fit():
    weights = stored("autoencoder")
    model = build_autoencoder(weights)
    with pytest.raises(ValueError, match=r"\(batch, 4, frames\), got \(1, 20, 3\)"):
        model.decode(torch.zeros(1, 20, 3))
    with pytest.raises(ValueError, match="1 frames, a latent is 2"):
        model.moments(torch.zeros(1, 6, 1))
    for key, says in {
        "post_quant_conv.weight": "post_quant_conv.weight of the audio autoencoder is missing",
        "decoder.up.1.upsample.conv.bias": "decoder.up.1.upsample.conv.bias is missing",
    }.items():
        with pytest.raises(ValueError, match=says):
            build_autoencoder({name: x for name, x in weights.items() if name != key})


def test_the_released_autoencoder_is_told_by_its_shapes():
    released = AutoencoderConfig((384, 768, 1536), 2, (0,))
    from lumina_next.nextdit.encoders.audio.autoencoder import AudioAutoencoder

    with torch.device("meta"):
        model = AudioAutoencoder(released)
    shapes = {key: tuple(x.shape) for key, x in model.state_dict().items()}
    assert AutoencoderConfig.infer(shapes) == released and released.stride == 2
    assert len(shapes) == 200 and round(sum(math.prod(shape) for shape in shapes.values()) / 1e6) == 213


def test_mel_spectra_equal_the_reference():
    mel = Mel()
    exact = mel(tone().double())
    assert_equal(exact, "mel", "mel")
    single = mel(tone())
    assert single.dtype is torch.float32
    loud = exact > exact.max() - 3  # of softer ones a processor's single precision knows less beside them
    assert (single - exact)[loud].abs().max() <= 1e-5 * exact.abs().max()
    assert (10**single - 10**exact).abs().max() <= 1e-6 * 10 ** exact.max()
    assert mel.frame_rate == 62.5 and mel.frames(1100) == 4
    for samples in (1, 255, 256, 300, 1024, 16000):
        assert mel(torch.zeros(2, samples)).shape[:2] == (2, 80)
        assert mel(torch.zeros(2, samples)).shape[2] in (mel.frames(samples), max(1, mel.frames(samples)))
    assert (mel(torch.zeros(1, 4096)) + 5).abs().max() < 1.0


def test_mel_triangles_have_one_area_and_cover_all_frequencies():
    filters = Mel().filters
    assert filters.shape == (80, 513) and (filters >= 0).all() and (filters[:, 1:-1].sum(0) > 0).all()
    high = Mel(sample_rate=44100, n_fft=2048, hop=512, bins=128, low=20, high=20000).filters
    assert high.shape == (128, 1025)


def test_griffin_lim_gives_back_the_sound_that_spectra_are_of():
    mel, n = Mel(), torch.arange(16000)
    sound = 0.4 * (n * (2 * math.pi * 440 / 16000)).sin() * (1 + (n * (2 * math.pi * 3 / 16000)).sin()) / 2
    spectra = mel(sound[None])
    again = mel.griffin_lim(spectra)
    assert again.shape == (1, spectra.shape[-1] * mel.hop) and torch.equal(again, mel.griffin_lim(spectra))
    loud = spectra > -1.5
    assert (mel(again) - spectra)[..., 3:-3][loud[..., 3:-3]].abs().mean() < 0.06  # in tens
    loudness = [x.unfold(-1, 800, 800).square().mean(-1).sqrt() for x in (sound[: 62 * 256], again[0])]
    assert torch.corrcoef(torch.stack(loudness))[0, 1] > 0.98  # nothing has moved in time
    whole = torch.fft.rfft(again[0]).abs()
    assert abs(whole.argmax().item() * 16000 / again.shape[1] - 440) < 2


@torch.no_grad()
@pytest.mark.parametrize("kind", ["snakebeta", "snake"])
def test_bigvgan_equals_the_reference(kind):
    case = f"vocoder_{kind}"
    model = build_bigvgan(stored(case), CASES[case]["settings"])
    assert_equal(model(numbers("mel", (2, 6, 5))), case, "sound")
    assert model.config.hop == 8


def test_a_vocoder_is_loaded_from_its_folder(tmp_path):
    case = CASES["vocoder_snakebeta"]
    weights = stored("vocoder_snakebeta")
    torch.save({"generator": weights}, tmp_path / "best_netG.pt")
    with pytest.raises(FileNotFoundError, match=r"args\.yml"):
        load_bigvgan(tmp_path)
    settings = {**case["settings"], "num_gpus": 0, "mpd_reshapes": [2, 3]}
    (tmp_path / "args.yml").write_text(json.dumps(settings))  # JSON is YAML
    model = load_bigvgan(tmp_path)
    with torch.no_grad():
        assert_equal(model(numbers("mel", (2, 6, 5))), "vocoder_snakebeta", "sound")
    with pytest.raises(ValueError, match="of 6 bins, got 80"):
        model(torch.zeros(1, 80, 5))
    for wrong, says in {
        '{"num_mels": 6}': "not those of a BigVGAN",
        "a: [": "not valid YAML",
        "- 1": "no settings",
        json.dumps({**settings, "activation": "relu"}): "activation 'relu'",
        json.dumps({**settings, "upsample_rates": [4]}): "different lengths",
        json.dumps({**settings, "num_mels": 80}): r"best_netG\.pt: .*conv_pre\.weight has shape",
    }.items():
        (tmp_path / "args.yml").write_text(wrong)
        with pytest.raises(ValueError, match=says):
            load_bigvgan(tmp_path)


def test_both_spellings_of_weight_norm_are_one_weight():
    conv = torch.nn.Conv1d(3, 4, 5)
    normed = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 4, 5))
    normed.load_state_dict(
        {
            "bias": conv.bias,
            "parametrizations.weight.original0": torch.ones(4, 1, 1) * 2,
            "parametrizations.weight.original1": conv.weight,
        }
    )
    found = without_weight_norm({f"up.{key}": x for key, x in normed.state_dict().items()})
    assert set(found) == {"up.weight", "up.bias"} and torch.allclose(found["up.weight"], normed.weight)
    with pytest.raises(ValueError, match=r"up\.weight_v is missing"):
        without_weight_norm({"up.weight_g": torch.ones(4, 1, 1)})
