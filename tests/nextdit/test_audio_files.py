"""Released audio models as they are downloaded: all parts found, fitted together, or what is missing is said."""

import pickle
import shutil

import pytest
import torch

from lumina_next.nextdit.audio_files import find_vocoder, load_audio
from lumina_next.nextdit.checkpoint import describe
from lumina_next.tests.support import untrained_audio
from lumina_next.tests.support.untrained_audio import AUTOENCODER, NETWORK, bert_tokenizer, checkpoint, write_released


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_released(tmp_path_factory.mktemp("Lumina-T2Audio"))


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return write_released(tmp_path_factory.mktemp("Lumina-T2Music"), sounds=False)


@pytest.fixture
def copied(sounds, tmp_path):
    return shutil.copytree(sounds, tmp_path / "model")


@torch.no_grad()
def test_a_downloaded_folder_becomes_a_model_from_words_to_sound(sounds):
    model = load_audio(sounds)
    assert model.config.scale_factor == pytest.approx(0.8) and model.config.time_steps == 1000
    assert (model.config.dim, model.config.in_channels, model.config.block) == (NETWORK.dim, 20, "flag")
    features, _ = model.text(["birds chirping then thunder"])
    assert features.shape == (1, 154, untrained_audio.WIDTH)
    frames = model.network(torch.randn(1, 20, 8), torch.tensor([0.5]), features)
    sound = model.coder.decode(frames / model.config.scale_factor)
    assert sound.shape == (1, 1, 8 * 512) and sound.abs().max() <= 1
    assert model.coder.encode(sound[..., :4000]).shape == (1, 20, 8)  # filled up with silence
    assert model.coder.frame_rate == model.config.frame_rate == 31.25


@torch.no_grad()
def test_music_has_one_text_encoder(music):
    model = load_audio(music)
    assert model.text(["slow piano"])[0].shape == (1, 77, untrained_audio.WIDTH) and not model.text.model.has_clap


@pytest.mark.parametrize("place", ["audio_generation/119.ckpt", "epoch=000119.ckpt", "text2audio/XL/last.ckpt"])
def test_the_checkpoint_may_lie_elsewhere(copied, place):
    moved = copied / "moved"
    (copied / "audio_generation").rename(moved)
    (copied / place).parent.mkdir(parents=True, exist_ok=True)
    moved.rename(copied / place)
    if "/XL/" in place:
        for name in ("bigvnat", "t5", "bert-base-uncased"):
            (copied / name).rename(copied / "text2audio" / name)
        folder = copied / "text2audio/XL"
    else:
        folder = copied
        assert load_audio(folder).coder.vocoder is not None
    model = load_audio(copied / place)
    assert model.coder.vocoder is not None and model.text.model.has_clap


def test_the_autoencoder_may_lie_beside_the_checkpoint(copied):
    weights = checkpoint()
    prefix = "first_stage_model."
    alone = {key.removeprefix(prefix): x for key, x in weights.items() if key.startswith(prefix)}
    torch.save(
        {"state_dict": {k: x for k, x in weights.items() if not k.startswith(prefix)}}, copied / "audio_generation"
    )
    with pytest.raises(ValueError, match=r"no autoencoder .*maa2/maa2\.ckpt"):
        load_audio(copied)
    (copied / "maa2").mkdir()
    for prefixed in ("", prefix):
        content = {prefixed + key: x for key, x in alone.items()} | {"loss.discriminator.weight": torch.zeros(2)}
        torch.save({"state_dict": content}, copied / "maa2/maa2.ckpt")
        assert load_audio(copied).coder.autoencoder.config == AUTOENCODER


def test_without_a_vocoder_phases_are_guessed(copied, sounds):
    assert find_vocoder(sounds) == sounds / "bigvnat"
    shutil.rmtree(copied / "bigvnat")
    for model in (load_audio(copied), load_audio(sounds, vocoder="griffin_lim")):
        assert model.coder.vocoder is None
        assert model.coder.decode(torch.zeros(1, 20, 4)).shape == (1, 1, 2048)
    assert load_audio(copied, vocoder=sounds / "bigvnat").coder.vocoder is not None
    with pytest.raises(FileNotFoundError, match="no vocoder's folder"):
        load_audio(copied, vocoder=copied / "t5")


@pytest.mark.parametrize(
    ("change", "says"),
    [({"num_mels": 100}, "conv_pre"), ({"upsample_rates": [16, 8], "upsample_kernel_sizes": [32, 16]}, "ups.1")],
)
def test_a_vocoder_whose_settings_are_another_s_is_refused(copied, monkeypatch, change, says):
    settings = untrained_audio.VOCODER | change
    (copied / "bigvnat/args.yml").write_text(str(settings).replace("True", "true"))
    with pytest.raises(ValueError, match=says):
        load_audio(copied)
    monkeypatch.setattr(untrained_audio, "VOCODER", settings)  # a whole vocoder, for other spectra
    torch.save({"generator": untrained_audio.vocoder_weights()}, copied / "bigvnat/best_netG.pt")
    with pytest.raises(ValueError, match="vocoder is for (100 mel bins|128 samples a frame)"):
        load_audio(copied)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("sampling_rate", 24000, "24000 samples a second"),
        ("fmin", 40, "40 Hz at the lowest"),
        ("fmax", 12000, "12000 Hz"),
    ],
)
def test_a_vocoder_for_another_rate_or_band_is_refused(copied, setting, value, says):
    own = {"sampling_rate": 16000, "fmin": 0, "fmax": 8000}
    for settings, fits in ((untrained_audio.VOCODER | own, True), (untrained_audio.VOCODER | {setting: value}, False)):
        (copied / "bigvnat/args.yml").write_text(str(settings).replace("True", "true"))
        if fits:
            assert load_audio(copied).coder.vocoder is not None
        else:
            with pytest.raises(ValueError, match=f"the vocoder is for {says}.*this model's spectra have"):
                load_audio(copied)


def test_a_missing_tokenizer_is_asked_for_by_name_and_place(copied, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: None)
    shutil.rmtree(copied / "bert-base-uncased")
    with pytest.raises(
        FileNotFoundError, match=r"BERT's tokenizer .*google-bert/bert-base-uncased .*model/bert-base-uncased"
    ):
        load_audio(copied)
    vocabulary = sorted(bert_tokenizer().get_vocab().items(), key=lambda item: item[1])
    (copied / "vocab.txt").write_text("\n".join(piece for piece, _ in vocabulary) + "\n", "utf-8")
    said = load_audio(copied).text.clap("Birds, chirping!")[0]
    assert said == load_audio_ids("Birds, chirping!")
    (copied / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"vocab\.txt: .*no vocabulary of BERT"):
        load_audio(copied)
    (copied / "vocab.txt").unlink()
    file = tmp_path / "tokenizer.json"
    bert_tokenizer().save(str(file))
    found = {"google-bert/bert-base-uncased": str(file)}
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: found.get(repository))
    assert load_audio(copied).text.clap("rain")[0] == load_audio_ids("rain")


def load_audio_ids(text: str) -> list[int]:
    ids = bert_tokenizer().encode(text).ids
    return ids + [0] * (77 - len(ids))


class Callback:
    pass


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"state_dict": {}, "callbacks": {Callback: 1}},
            r"holds Python objects other than tensors \(\S+\.Callback\).*nothing was run",
        ),
        ({"state_dict": {"first_stage_model.x": torch.zeros(1)}}, "no model that this pack knows"),
        ("text", "holds no state dict"),
    ],
)
def test_files_that_are_none_or_unsafe_are_refused(copied, content, says):
    torch.save(content, copied / "audio_generation")
    with pytest.raises(ValueError, match=says):
        load_audio(copied)


def test_files_of_old_releases_of_torch_are_read(copied):
    content = torch.load(copied / "audio_generation", weights_only=True)
    torch.save(content, copied / "audio_generation", _use_new_zipfile_serialization=False)
    assert load_audio(copied).config.scale_factor == pytest.approx(0.8)
    assert describe(copied).config.scale_factor == pytest.approx(0.8)


def test_a_cut_file_and_another_model_are_refused(copied, tmp_path):
    whole = (copied / "audio_generation").read_bytes()
    (copied / "audio_generation").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole"):
        load_audio(copied)
    (copied / "audio_generation").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match="audio_generation"):
        load_audio(copied)
    with pytest.raises(FileNotFoundError, match="no network weights"):
        load_audio(tmp_path / "model/t5")
    lacking = {key: x for key, x in checkpoint().items() if "blocks.1.attention.wq" not in key}
    torch.save({"state_dict": lacking}, copied / "audio_generation")
    with pytest.raises(ValueError, match=r"layers\.1\.attention\.wq\.weight is missing"):
        load_audio(copied)
