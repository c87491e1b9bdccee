"""Small untrained audio models in the layouts of the released ones, with tokenizers and a vocoder."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from lumina_next.nextdit import save_model
from lumina_next.nextdit.audio_config import AudioConfig
from lumina_next.nextdit.encoders.audio.autoencoder import AudioAutoencoder, AutoencoderConfig
from lumina_next.nextdit.encoders.audio.bigvgan import BigVGAN, BigVGANConfig
from lumina_next.nextdit.encoders.audio.text import Projection
from lumina_next.nextdit.models.audio import FAMILY, AudioDiT

WIDTH = 64
WORDS = "birds chirping dog barking rain falling thunder train horn wind a man speaking piano slow followed by then all"
NETWORK = AudioConfig(
    48, 2, 2, 2, WIDTH, block="flag", qk_norm=False, ffn_dim=64, time_dim=48, time_steps=1000, time_frequencies=32
)
SPECTRA = AudioConfig(
    48, 2, 2, 1, 128, ffn_dim=64, time_dim=48, in_channels=80, patch_size=2, train_frames=256, frame_rate=62.5,
    scale_factor=2 / 3, latent_shift=-2.5,
)  # fmt: skip
MUSIC = replace(SPECTRA, patch_size=1, train_frames=384)
"""As the demo's models of sounds and of music: mel spectra, and the text encoder in the box."""
DEMO = {"lumina-next-demo-sounds.safetensors": SPECTRA, "lumina-next-demo-music.safetensors": MUSIC}
AUTOENCODER = AutoencoderConfig((32, 64), 1, (0,))
VOCODER: dict[str, Any] = {
    "num_mels": 80,
    "upsample_rates": [16, 16],
    "upsample_kernel_sizes": [32, 32],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "resblock": "1",
    "activation": "snakebeta",
    "snake_logscale": True,
}


def random(model: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Return weights for a module, so that all of its layers do something and none explodes."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for key, x in model.state_dict().items():
        if key.endswith(".filter"):
            found[key] = x
        elif x.ndim == 1:
            found[key] = 0.5 + 0.1 * torch.randn(x.shape, generator=generator)
        else:
            found[key] = torch.randn(x.shape, generator=generator) / x[0].numel() ** 0.5
    return found


def write_spectra(file: Path, config: AudioConfig = SPECTRA, seed: int = 0) -> Path:
    """Write a model of spectra, as the demo's own are written."""
    model = AudioDiT(config)
    model.load_state_dict(random(model, seed))
    save_model(model, file, {"title": "Lumina-Next untrained stand-in"})
    return file


def bert_tokenizer() -> Tokenizer:
    """A WordPiece tokenizer that knows WORDS and letters, as bert-base-uncased's is made."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *"bcdefghijklmnopqrstuvwxyz&<>@,."]
    pieces += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def t5_tokenizer() -> Tokenizer:
    """A Unigram tokenizer that knows WORDS and letters, as T5's is made."""
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((f"▁{word}", -3.0) for word in dict.fromkeys(WORDS.split())),
    ]
    pieces += [(letter, -8.0) for letter in "▁abcdefghijklmnopqrstuvwxyz&@,."]
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=2))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def t5(vocabulary: int | None = None) -> torch.nn.Module:
    from transformers import T5Config, T5EncoderModel

    count = vocabulary or t5_tokenizer().get_vocab_size()
    sizes = {"d_model": WIDTH, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 3, "dropout_rate": 0.0}
    return T5EncoderModel(T5Config(vocab_size=count, feed_forward_proj="gated-gelu", **sizes)).eval()


def bert() -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
    return BertModel(
        BertConfig(vocab_size=bert_tokenizer().get_vocab_size(), max_position_embeddings=80, **sizes)
    ).eval()


def text_weights(sounds: bool, vocabulary: int | None = None) -> dict[str, Tensor]:
    """Return `cond_stage_model.` of Lumina-T2Audio (`sounds`), or of Lumina-T2Music."""
    found = {("t5_transformer." if sounds else "transformer.") + k: x for k, x in random(t5(vocabulary), 1).items()}
    if sounds:
        found |= {f"caption_encoder.base.{key}": x for key, x in random(bert(), 2).items()}
        found |= {f"caption_encoder.projection.{key}": x for key, x in random(Projection(WIDTH, WIDTH), 3).items()}
    return found


def released(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {FAMILY.reference(key): x for key, x in weights.items()}


def checkpoint(sounds: bool = True, vocabulary: int | None = None) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint in the released layout, with what training leaves in it."""
    parts = {
        "model.diffusion_model.": released(random(AudioDiT(NETWORK))),
        "first_stage_model.": random(AudioAutoencoder(AUTOENCODER), 4),
        "cond_stage_model.": text_weights(sounds, vocabulary),
    }
    found = {prefix + key: x for prefix, part in parts.items() for key, x in part.items()}
    return found | {"scale_factor": torch.tensor(0.8), "betas": torch.zeros(1000), "logvar": torch.zeros(1000)}


def vocoder_weights() -> dict[str, Tensor]:
    """Return a vocoder's weights with their weight norm, as checkpoints have them."""
    weights = random(BigVGAN(BigVGANConfig.read(VOCODER)), 5)
    kernels = {key: x for key, x in weights.items() if key.endswith(".weight")}
    lengths = {f"{key}_g": x.flatten(1).norm(dim=1).view(-1, 1, 1) for key, x in kernels.items()}
    directions = {f"{key}_v": x for key, x in kernels.items()}
    return {key: x for key, x in weights.items() if key not in kernels} | lengths | directions


def write_released(folder: Path, sounds: bool = True, vocabulary: int | None = None) -> Path:
    """Write a download of Lumina-T2Audio, or Lumina-T2Music, as its authors lay it out, and tokenizers beside."""
    name = "audio_generation" if sounds else "music_generation"
    (folder / "bigvnat").mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": checkpoint(sounds, vocabulary), "epoch": 119, "global_step": 5}, folder / name)
    torch.save({"generator": vocoder_weights(), "steps": 3}, folder / "bigvnat/best_netG.pt")
    (folder / "bigvnat/args.yml").write_text(json.dumps(VOCODER), "utf-8")
    for part, tokenizer in {"t5": t5_tokenizer(), "bert-base-uncased": bert_tokenizer()}.items():
        if part != "t5" or vocabulary is None:
            (folder / part).mkdir(exist_ok=True)
            tokenizer.save(str(folder / part / "tokenizer.json"))
    return folder
