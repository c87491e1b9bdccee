"""Write what the reference code of Lumina-T2Audio computes, for the tests of our audio models to be held against.

`python -m lumina_next.tests.support.reference_audio LUMINA_T2X MAKE_AN_AUDIO FILE`: checkouts of
github.com/Alpha-VLLM/Lumina-T2X and github.com/Text-to-Audio/Make-An-Audio-3, of which it takes the mel spectra. Of
what they import, the parts that nothing here uses are stood in for.
"""

import importlib
import json
import math
import sys
import types
from pathlib import Path

import torch
import transformers  # before what stands in for packages that it looks for
from torch import nn

from . import untrained_audio
from .reference_numbers import rounded, stand_in
from .reference_weights import numbers, weights

TIMES = [0.2, 0.7]
STRETCHED = {"linear": {"rope_scaling_factor": 1.75}, "ntk": {"ntk_factor": 1.75}}
"""Ways to stretch time to 7 frames of 4 in training."""
NETWORKS = {"small": (24, 2, 3), "wide": (32, 1, 2)}  # width, layers, heads


def reference(module: str):
    """Return a module of the reference code, which is on the path."""
    return importlib.import_module(f"models.{module}")


def filled(model: nn.Module) -> nn.Module:
    """Give a module of the reference its weights by name."""
    model.load_state_dict(weights({key: tuple(x.shape) for key, x in model.state_dict().items()}))
    return model.eval()


def shapes(model: nn.Module) -> dict[str, list[int]]:
    return {key: list(x.shape) for key, x in model.state_dict().items()}


def written(**found: torch.Tensor) -> dict:
    return {key: {"shape": list(x.shape), "values": rounded(x)} for key, x in found.items()}


@torch.no_grad()
def network(dim: int, depth: int, heads: int) -> dict:
    """Return a network's velocity of 7 frames at times of which the reference makes steps of a thousand."""
    kind = reference("diffusion.flag_large_dit").FlagDiTv2
    model = filled(kind(in_channels=5, context_dim=16, hidden_size=dim, depth=depth, num_heads=heads, max_len=40))
    steps = (torch.tensor(TIMES) * 1000).long()
    x, text = numbers("x", (2, 5, 7)), numbers("text", (2, 6, 16))
    found = {"velocity": model(x, steps, text)}
    for name, options in STRETCHED.items():
        model.freqs_cis = kind.precompute_freqs_cis(dim // heads, 40, **options)
        found[name] = model(x, steps, text)
    return {"shapes": shapes(model), "outputs": written(**found)}


AUTOENCODER = {
    "double_z": True,
    "in_channels": 6,
    "out_ch": 6,
    "z_channels": 4,
    "kernel_size": 5,
    "ch": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_layers": [3],
    "down_layers": [0],
    "dropout": 0.0,
}


@torch.no_grad()
def autoencoder() -> dict:
    """Return moments of 6 frames and a spectrum of 3 latents."""
    loss = {"target": "torch.nn.Identity"}
    model = filled(reference("autoencoder1d").AutoencoderKL(4, AUTOENCODER, loss))
    found = model.encode(numbers("mel", (2, 6, 6)))
    decoded = model.decode(numbers("latents", (2, 4, 3)))
    return {"shapes": shapes(model), "outputs": written(mean=found.mean, deviation=found.std, decoded=decoded)}


def tone() -> torch.Tensor:
    """Return 2 × 1100 samples: two tones that grow louder than a file can hold, and noise."""
    n = torch.arange(1100)
    tones = (n * (2 * math.pi * 440 / 16000)).sin() + (n * (2 * math.pi * 3100 / 16000)).sin() * 0.5
    return torch.stack([tones * n / 900, numbers("noise", (1100,)) * 0.01])


@torch.no_grad()
def mel(make_an_audio: Path) -> dict:
    """Return mel spectra of `tone`; the triangles are torchaudio's in place of librosa's.

    In float64: beside a loud tone, single precision says nothing of what is nearly silent, whose logarithm this is.
    """
    from torchaudio.functional import melscale_fbanks

    filters, stft = types.ModuleType("librosa.filters"), torch.stft

    def triangles(rate, n_fft, bins, low, high):
        return melscale_fbanks(n_fft // 2 + 1, low, high, bins, rate, norm="slaney", mel_scale="slaney").T.numpy()

    def as_of_old(*args, return_complex, **options):  # releases of then returned pairs of real numbers
        return torch.view_as_real(stft(*args, return_complex=True, **options))

    filters.mel = triangles
    sys.modules |= {"librosa": types.ModuleType("librosa"), "librosa.filters": filters}
    sys.path.insert(0, str(make_an_audio / "preprocess"))
    names = ("fft_size", "audio_num_mel_bins", "audio_sample_rate", "hop_size", "win_size", "fmin", "fmax")
    torch.stft = as_of_old
    net = importlib.import_module("NAT_mel").MelNet(
        dict(zip(names, (1024, 80, 16000, 256, 1024, 0, 8000), strict=True))
    )
    net.mel_basis, net.hann_window = net.mel_basis.double(), torch.hann_window(1024, dtype=torch.float64)
    return {"outputs": written(mel=net(tone().double()))}


VOCODER = {
    "num_mels": 6,
    "upsample_rates": [4, 2],
    "upsample_kernel_sizes": [8, 4],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "snake_logscale": True,
}
VOCODERS = {"snakebeta": {"resblock": "1"}, "snake": {"resblock": "2", "resblock_dilation_sizes": [[1, 3], [1, 3]]}}


@torch.no_grad()
def vocoder(activation: str, more: dict) -> dict:
    """Return the sound of 5 frames."""
    settings = VOCODER | {"activation": activation} | more
    model = reference("vocoder.bigvgan.models").BigVGAN(types.SimpleNamespace(**settings))
    state = model.state_dict()
    kept = {key: x for key, x in state.items() if key.endswith(".filter")}
    model.load_state_dict(weights({key: tuple(x.shape) for key, x in state.items()}) | kept)
    found = written(sound=model.eval()(numbers("mel", (2, 6, 5))).squeeze(1))
    lasting = {key: list(x.shape) for key, x in state.items() if key not in kept}
    return {"settings": settings, "shapes": lasting, "outputs": found}


CAPTIONS = ["birds chirping followed by thunder", ""]
STRUCTURED = ["<birds chirping& start>@<thunder& end>", ""]
ROWS = slice(None, None, 11)
"""Of the tokens' features, those that are written."""


@torch.no_grad()
def text() -> dict:
    """Return features of sounds' prompts, by CLAP and T5, and of music's, by T5 alone."""
    modules = reference("encoders.modules")
    tokenizers = untrained_audio.t5_tokenizer(), untrained_audio.bert_tokenizer()
    t5, bert = (fast(tokenizer, pad) for tokenizer, pad in zip(tokenizers, ("<pad>", "[PAD]"), strict=True))
    both, one = (modules.__dict__[name].__new__(modules.__dict__[name]) for name in EMBEDDERS)
    for embedder in (both, one):
        nn.Module.__init__(embedder)
        embedder.device, embedder.max_length = "cpu", 77
    both.clap_tokenizer, both.t5_tokenizer, one.tokenizer = bert, t5, t5
    modules.TextEncoder.__init__.__globals__["AutoModel"] = types.SimpleNamespace(
        from_pretrained=lambda name: untrained_audio.bert()
    )
    both.caption_encoder = modules.TextEncoder(untrained_audio.WIDTH, "bert", untrained_audio.WIDTH)
    both.t5_transformer, one.transformer = untrained_audio.t5(), untrained_audio.t5()
    found = filled(both).encode({"ori_caption": CAPTIONS, "struct_caption": STRUCTURED})
    music = filled(one).encode(CAPTIONS)
    told = {"sounds": shapes(both), "music": shapes(one)}
    return {"shapes": told, "outputs": written(sounds=found[:, ROWS], music=music[:, ROWS])}


EMBEDDERS = "FrozenCLAPFLANEmbedder", "FrozenFLANEmbedder"


def fast(tokenizer, pad: str):
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad)


def stand_in_for_training() -> None:
    """Put modules with the names that the reference imports for training, for reading configs and for sound to text."""
    names = ("pytorch_lightning", "omegaconf", "importlib_resources", "torchlibrosa", "torchlibrosa.stft")
    made = {name: types.ModuleType(name) for name in (*names, "torchlibrosa.augmentation")}
    made["pytorch_lightning"].LightningModule = nn.Module
    made["omegaconf"].OmegaConf = made["importlib_resources"].files = None
    made["torchlibrosa.stft"].Spectrogram = made["torchlibrosa.stft"].LogmelFilterBank = None
    made["torchlibrosa.augmentation"].SpecAugmentation = None
    sys.modules |= made


def main(checkout: Path, make_an_audio: Path, file: Path) -> None:
    transformers.BertModel, transformers.T5EncoderModel  # noqa: B018 - loads them
    stand_in()
    stand_in_for_training()
    sys.path.insert(0, str(checkout / "lumina_audio"))
    cases = {f"network_{name}": network(*size) for name, size in NETWORKS.items()}
    cases |= {"text": text(), "autoencoder": autoencoder(), "mel": mel(make_an_audio)}
    cases |= {f"vocoder_{name}": vocoder(name, more) for name, more in VOCODERS.items()}
    file.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(case)}' for name, case in cases.items()) + "\n}\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
